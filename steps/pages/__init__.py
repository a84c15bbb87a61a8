"""What `evaluate` makes of a model's answers: scores with intervals, charts, and the page."""
