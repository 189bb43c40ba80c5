"""The port of adapters for gateways that call by gRPC, on the loop of the process.

In: calls of the methods of each `GrpcAdapter` that is open, each with its token in the metadata, as HTTP has it in a header.
Out: verdicts, or a status: UNAUTHENTICATED, INVALID_ARGUMENT, or UNAVAILABLE if there is no verdict now. `grpc` is imported
here alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import unquote

from guardproxy.adapters import GrpcAdapter
from guardproxy.config import ADAPTERS_GRPC
from guardproxy.errors import ConfigError, DownstreamError
from guardproxy.server.driving.adapter_port import AdapterPort, beside, secret_of
from guardproxy.server.intake.grpc_port import add_port, handshake_option
from guardproxy.server.trust.certificates import Certificates
from guardproxy.wire.json import JsonFault

_log = logging.getLogger(__name__)


class GrpcCalls:
    """Answers calls by gRPC. `calls`: judges them; `counting`: counts one while it runs; `limit_bytes`: of a call;
    `handshake_s`: for the beginning of a connection."""

    def __init__(
        self,
        calls: AdapterPort,
        counting: Callable[[], AbstractContextManager[None]],
        limit_bytes: int,
        handshake_s: float,
        certificates: Certificates,
    ) -> None:
        import grpc  # noqa: PLC0415 - an extra, for few servers

        self._calls = calls
        self._counting = counting
        self._codes = grpc.StatusCode
        self._certificates = certificates
        options = [("grpc.max_receive_message_length", limit_bytes), handshake_option(handshake_s)]
        self._server: Any = grpc.aio.server(options=options)
        for adapter in calls.open_adapters:
            if isinstance(adapter, GrpcAdapter):
                handlers = {
                    method: grpc.unary_unary_rpc_method_handler(partial(self._answer, adapter, route))
                    for method, route in adapter.methods.items()
                }
                handler = grpc.method_handlers_generic_handler(adapter.service, handlers)
                self._server.add_generic_rpc_handlers((handler,))

    async def start(self, host: str, port: int) -> int:
        """Listens. Returns the port. Raises `ConfigError`."""
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            own_port = add_port(self._server, shown, ADAPTERS_GRPC, self._certificates)
        except RuntimeError:
            raise ConfigError(f"cannot listen on {shown}: another process has it, or this user may not") from None
        await self._server.start()
        return own_port

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls, and waits for those that run."""
        await self._server.stop(grace_s)

    async def _answer(self, adapter: GrpcAdapter, route: str, data: bytes, context: Any) -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        address = _address_of(context.peer())
        with self._counting():
            try:
                secret = self._calls.authenticate(adapter, secret_of(headers), address)
                read = partial(self._calls.read, adapter, route, partial(adapter.decode, data), headers)
                call = await beside(len(data), read)
                verdict = await self._calls.judge(adapter, call, secret, headers, len(data))
                answer: bytes = await beside(len(data), lambda: adapter.encode(adapter.write(call, verdict)))
                return answer
            except (DownstreamError, JsonFault) as error:
                await context.abort(self._code(error.code.status), str(error))
                raise AssertionError from None

    def _code(self, status: int) -> Any:
        if status in (401, 429):
            return self._codes.UNAUTHENTICATED
        return self._codes.UNAVAILABLE if status >= 500 else self._codes.INVALID_ARGUMENT


def _address_of(peer: str) -> str:
    """Returns the address of a peer as gRPC names it: `ipv4:192.0.2.1:4711` or `ipv6:%5B2001:db8::1%5D:4711`."""
    # The name is a URI, so brackets are escaped. An address that cannot be read is in no network, and wrong tokens are counted
    # by network.
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")
