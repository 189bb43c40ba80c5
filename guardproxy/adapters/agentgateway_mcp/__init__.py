"""The adapter for the MCP policy service of agentgateway."""

from __future__ import annotations

from guardproxy.adapters.agentgateway_mcp.adapter import AgentgatewayMcp

__all__ = ["AgentgatewayMcp"]
