"""The wire formats, one folder each. `NAMES` lists the folders; the first answers clients that speak no known format."""

NAMES = (
    "openai_chat",
    "anthropic_messages",
    "openai_responses",
    "openai_completions",
    "openai_inputs",
    "gemini_generate",
    "ollama_chat",
    "ollama_generate",
    "ollama_embed",
    "mcp",
)
