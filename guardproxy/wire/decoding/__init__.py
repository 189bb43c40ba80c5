"""Decodes frames and whole bodies into events by the maps of a format. `JsonCodec` is the base of most formats."""
