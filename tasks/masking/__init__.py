"""What tasks that take words out of a text share: batches with masks, and with words that were put in their place."""
