"""The adapter for the guardrail webhook of agentgateway."""

from __future__ import annotations

from guardproxy.adapters.agentgateway.adapter import Agentgateway

__all__ = ["Agentgateway"]
