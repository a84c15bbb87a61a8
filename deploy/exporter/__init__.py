"""A Prometheus exporter for state that outlives steps: MLflow's runs and registry, the outbox, the disk; and the runbooks of alerts."""
