"""The side of the upstream: connections, headers of requests, time limits, and the circuit breaker."""
