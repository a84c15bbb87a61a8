"""Logs, spans and metrics of every step, by the names in `telemetry/names.py`, into a durable outbox."""

from telemetry.interrupts import Interrupted
from telemetry.observe import Observe

__all__ = ["Interrupted", "Observe"]
