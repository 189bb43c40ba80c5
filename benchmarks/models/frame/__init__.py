"""Texts for measuring what judges by meaning: statements on documents, pairs of questions, topics, questions by difficulty.

In: seeds and sizes. Out: labelled texts, the same for the same seed. All sentences were written by hand for this folder, apart
from those that networks are trained on: no training reads it, and no threshold is chosen on it. The sentences are in `texts/`,
with gaps that `filling.py` fills. What was altered in a sentence was altered by hand, so its label is known.
"""
