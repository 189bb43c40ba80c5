"""Finds identifiers of people in growing text: with Presidio's recognizers, and names with a model."""
