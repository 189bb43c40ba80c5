"""Fits to labels: thresholds of topics to examples, and small classifiers to labels in the log."""
