"""Runs the commands of an exchange: sends, waits, scans and records; answers from the cache and asks the LLM judge."""
