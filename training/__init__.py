"""The training loop and what it needs: batches, masking, schedules, checkpoints."""
