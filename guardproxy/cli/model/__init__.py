"""`guardproxy model`: measures a model on your own texts, chooses its thresholds, exports your own model."""
