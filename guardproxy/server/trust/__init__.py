"""Tells whom the proxy trusts, from files that are read again while it runs: clients with their keys, and certificates."""
