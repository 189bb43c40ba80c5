"""The client side: connections, heads and bodies of requests, and how much of them is taken."""
