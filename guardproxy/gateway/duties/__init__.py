"""The duties of the gateway, which see each request before its exchange, and the order of them."""
