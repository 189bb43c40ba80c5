"""The wire format MCP: messages of the Model Context Protocol over streamable HTTP."""
