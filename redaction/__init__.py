"""Credentials hidden in everything that is written: logs, spans, parameters, manifests and reports."""

from redaction.text import HIDDEN, hide_in_tracebacks, redact

__all__ = ["HIDDEN", "hide_in_tracebacks", "redact"]
