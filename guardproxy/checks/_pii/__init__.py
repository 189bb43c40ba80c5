"""Identifiers of people: Presidio's recognizers and names, in growing text."""
