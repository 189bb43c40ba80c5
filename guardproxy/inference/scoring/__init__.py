"""Scores texts for the supervisor: a cheap first stage reads all of a text, the encoder reads what the first stage
leaves open."""
