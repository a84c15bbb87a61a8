"""Data that is always there: read from what is installed with us, one file a source."""
