"""The wire format OpenAI Completions."""
