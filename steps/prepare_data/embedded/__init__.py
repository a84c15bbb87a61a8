"""Data that is always there: read from installed packages, one file a source."""
