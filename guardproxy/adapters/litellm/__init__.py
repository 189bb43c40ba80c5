"""The adapter for LiteLLM's generic guardrail API."""

from __future__ import annotations

from guardproxy.adapters.litellm.adapter import Litellm

__all__ = ["Litellm"]
