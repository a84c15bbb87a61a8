"""Logs, spans and metrics of every step, by the names in `telemetry/names.py`, into a durable outbox."""

from telemetry.observe import Interrupted, Observe

__all__ = ["Interrupted", "Observe"]
