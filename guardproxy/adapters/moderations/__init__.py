"""The adapter that answers as a moderation endpoint."""

from __future__ import annotations

from guardproxy.adapters.moderations.adapter import Moderations

__all__ = ["Moderations"]
