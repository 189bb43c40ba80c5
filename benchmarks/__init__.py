"""What guardproxy costs and how good its models are: `make bench` and `make bench-all`. docs/benchmarks.md shows the results.

- `path`: the way of a request, streams, connections, workers, overload, and how costs grow.
- `checks`: what checks cost and find: personal data, evasions, links, schemas, and how much text they hold back.
- `gateway`: policies, limits, the cache, routes, prompts, monitoring.
- `models`: the supervisor: time, quality, what reads a text before the encoder.
- `audit`: the log, and the engine that verifies and replays it.
- `peers`: other proxies and libraries, each run in an environment of its own.

`words` and `processes` are shared, `page` writes the tables of the documentation.
"""
