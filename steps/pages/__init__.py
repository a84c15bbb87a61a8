"""Pages of `evaluate` and `promote`: scores with intervals, charts, tables."""
