"""The wire format Anthropic Messages."""
