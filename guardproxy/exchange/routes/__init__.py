"""Chooses where a request is sent: the upstream of a route, further attempts, failover, and a recorded answer in a
replay."""
