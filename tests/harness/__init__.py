"""A real Envoy, real upstreams and a client that sends what it is told, for the demo and the tests."""
