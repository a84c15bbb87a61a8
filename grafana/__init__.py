"""Dashboards as code: `boards/` defines them, `python -m grafana` writes the JSON that provisions Grafana."""
