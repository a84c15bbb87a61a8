"""The training loop, and its options, batches, checkpoints, log of updates and backends."""
