"""Asks models at upstreams of the operator: about texts, for checks, and about finished exchanges, for judges."""
