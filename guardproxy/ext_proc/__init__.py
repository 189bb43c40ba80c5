"""Envoy's external processing: guards requests that Envoy, Istio or a Gateway API gateway passes on (`--ext-proc`).

In: calls of Envoy's filter `ext_proc` by gRPC, one for each request. Out: the request as policies let it pass, and its answer.
The exchange, the duties and the records are those of the port for clients; only the bytes come and go by another way.

`messages` and `conversation` hold the protocol and are pure, `headers` says what changes in the headers. `call` makes a request
of a conversation, `door` listens. Nothing here is imported before the setting is given, as grpcio takes long to import.

Decision: docs/decisions/0071-envoy-asks-by-ext-proc.md
"""

from __future__ import annotations

from guardproxy.ext_proc.door import ExtProcDoor

__all__ = ["ExtProcDoor"]
