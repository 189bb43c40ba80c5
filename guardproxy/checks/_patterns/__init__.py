"""_patterns."""
