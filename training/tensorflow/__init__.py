"""The training loop's backend in TensorFlow."""
