"""Parts of requests that several formats have: prompts, conversations, system texts, and fields that only some servers
know."""
