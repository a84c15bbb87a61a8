"""The training loop's backend in Flax."""
