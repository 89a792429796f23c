"""Every scenario of the README on a real Envoy, for a person to watch."""
