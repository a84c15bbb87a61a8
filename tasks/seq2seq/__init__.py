"""Sequence to sequence; `translation` builds on it."""
