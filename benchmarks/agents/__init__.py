"""How well agents are guarded: scenes with and without orders of strangers, a gullible agent, and how often it obeys.

- `scene`: what a scene is, and what the agent reads and calls. `domains` has the tools and the tasks of four domains,
  `orders` the orders of strangers and the ways to hide them, `scenes` makes 200 scenes of them.
- `agent`: a deterministic model that does its task, and follows every order that it understands.
- `servers`: the tools of a scene as a real MCP server. `doors`: how an agent reaches its tools, with and without a guard.
- `attacks`: the benchmark itself.
"""
