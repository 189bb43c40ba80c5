"""Commands for agents: a guard around a server of tools, pins of tools, and confirmations."""
