"""The filter's cost in a real Envoy, compared with alternatives: `make bench`."""
