"""Runs networks: ONNX sessions, batches, devices, the cache of verdicts, and remote model servers."""
