"""Reads a model folder: its files and their hashes, its configuration, its tokenizer."""
