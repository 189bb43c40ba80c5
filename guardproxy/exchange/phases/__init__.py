"""The phases of an exchange: the request, the answer, and what both share."""
