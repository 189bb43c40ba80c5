"""Reads a policy file into rules: its keys, rules, variables, `extends`, declared formats; also its JSON Schema."""
