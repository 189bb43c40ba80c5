"""Decides: which policy applies to a request, and which actions the rules take on findings."""
