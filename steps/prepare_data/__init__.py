"""Read, clean, de-duplicate, split, quarantine and describe: source -> corpus."""
