"""Turns a checkpoint of transformers into a model folder."""
