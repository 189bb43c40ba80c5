"""Guards an MCP server that speaks over its standard streams: each message is a request to the server of this process, without
a port."""
