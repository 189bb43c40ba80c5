"""Compares sentences of an answer with retrieved texts, for the check `grounded`: by words, or by meaning with a model that
judges pairs of texts."""
