"""Reads YAML with the line and column of each value, and fills in templates."""
