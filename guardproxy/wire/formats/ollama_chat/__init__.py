"""The wire format Ollama Chat."""
