"""Dashboards as code: `boards/` says what they show, `python -m grafana` writes the JSON that Grafana is provisioned with."""
