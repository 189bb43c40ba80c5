"""Finds stored answers by what their questions ask: an index of questions, and models that compare them.

Decision: docs/decisions/0076-a-model-proposes-and-particulars-refuse.md
"""
