"""What requests of several formats have in common: prompts, conversations, system texts, fields of servers."""
