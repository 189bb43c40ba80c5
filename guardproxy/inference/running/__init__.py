"""Runs networks: sessions, batches, devices, model servers."""
