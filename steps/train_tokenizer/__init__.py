"""Train a tokenizer, or take one over, and measure it: corpus -> tokenizer."""
