"""What outlives steps, for Prometheus to scrape: MLflow's runs and registry, the outbox, the disk."""
