"""Texts on their way: what is held back until checks have settled, and what is edited."""
