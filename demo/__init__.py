"""Runs all scenarios on a real Envoy and prints the results."""
