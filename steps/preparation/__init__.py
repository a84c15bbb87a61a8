"""What `prepare_data` does, one file a part: read, clean, find near duplicates, split."""
