"""The wire format of Ollama's embeddings: requests with an input, answers without texts."""
