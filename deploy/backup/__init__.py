"""Backups: MLflow's store and artifacts and our own home, as one verified folder, and their way back."""
