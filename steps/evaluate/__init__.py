"""Evaluate on a held-out split, beside baselines on the same rows: corpus, tokenizer, checkpoint -> report."""
