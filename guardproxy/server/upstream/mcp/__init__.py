"""What guards an MCP server beside its messages: origins, sessions and authorization. `mcp` of the wire formats reads the
messages."""
