"""A picture of the Grafana dashboard with what a real Prometheus saw: `make dashboard`."""
