"""Evasions: values that are hidden by odd characters, escapes and encodings."""
