"""The texts of one direction: holds text back until its checks have settled, applies edits, and joins pieces into one
text."""
