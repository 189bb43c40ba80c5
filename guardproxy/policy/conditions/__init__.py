"""Conditions of rules: the values that they can name, `match`, CEL, and expressions over findings."""
