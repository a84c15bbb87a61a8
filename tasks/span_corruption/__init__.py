"""Span corruption (T5)."""
