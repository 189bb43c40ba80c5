"""anthropic_messages."""
