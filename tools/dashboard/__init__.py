"""Draws the Grafana dashboard with the data of a real Prometheus: `make dashboard`."""
