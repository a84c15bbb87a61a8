"""What tasks that write a text for a text share: rows of pairs, targets, alignments, their part of the report."""
