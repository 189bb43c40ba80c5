"""The values of a policy: its document, and each key of it with its order of strictness."""
