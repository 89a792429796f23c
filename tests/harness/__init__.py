"""A real Envoy, real upstreams and clients that send arbitrary bytes, for the demo and the tests."""
