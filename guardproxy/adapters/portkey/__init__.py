"""The adapter for Portkey's webhook guardrail."""

from __future__ import annotations

from guardproxy.adapters.portkey.adapter import Portkey

__all__ = ["Portkey"]
