"""The side of the client: connections, heads and bodies of requests, and limits on how much the proxy takes in."""
