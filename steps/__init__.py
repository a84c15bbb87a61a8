"""The steps of a pipeline, one file each: a `Config`, a `run`, and nothing heavy at the top."""
