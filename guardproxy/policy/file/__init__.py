"""Reads policy files: keys, rules, variables, what extends what, and their JSON Schema."""
