"""Decides: from findings and rules to actions."""
