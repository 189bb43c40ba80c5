"""The upstream side: connections, what is sent to an upstream, its breaker and its time limits."""
