"""The backends without Docker: built once from Go modules, run with the configuration files that containers mount."""
