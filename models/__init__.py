"""Transformers as equations. This level is free of any framework: configuration and parameter names."""
