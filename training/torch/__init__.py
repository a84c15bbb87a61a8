"""The training loop's backend in PyTorch."""
