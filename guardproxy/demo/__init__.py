"""Upstreams for demos and tests: a scripted model that misbehaves on request, and a real tiny model."""
