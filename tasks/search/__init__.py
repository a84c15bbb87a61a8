"""What finding documents takes beside the network: BM25 and TF-IDF, its part of the report."""
