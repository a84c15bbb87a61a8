"""Masked language modelling; `electra` and `span_corruption` build on it."""
