"""guardproxy: a guard in front of any LLM endpoint."""

from __future__ import annotations
