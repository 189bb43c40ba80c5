"""Examines a set of policies: lint, coverage, names of tenants, prices for its limits, policies for comments in feedback."""
