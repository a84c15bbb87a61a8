"""Evaluate on a held-out split, with baselines on the same rows: corpus, tokenizer, checkpoint -> report."""
