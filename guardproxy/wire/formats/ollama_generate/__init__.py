"""The wire format Ollama Generate."""
