"""Evasions: values hidden by look-alike or invisible characters, escapes and encodings."""
