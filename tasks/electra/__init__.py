"""Replaced token detection (ELECTRA)."""
