"""Recognizers of this project, beside those of Presidio: `parity: extended`."""
