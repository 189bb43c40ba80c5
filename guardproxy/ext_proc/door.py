"""The door for Envoy: a gRPC server on the loop of the process, and a call for each request.

In: calls of `envoy.service.ext_proc.v3.ExternalProcessor/Process`. Out: messages to Envoy.

A call ends with an error unless Envoy has the end of an answer: Envoy takes an orderly end before it for leave to go on without
the filter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import grpc

from guardproxy.config import EXT_PROC, SETTINGS, Config
from guardproxy.errors import ConfigError, ErrorCode
from guardproxy.ext_proc.call import EnvoyCall
from guardproxy.ext_proc.conversation import OutOfTurnError
from guardproxy.ext_proc.messages import METHOD, SERVICE, EnvoyHead, UnreadableMessageError, read
from guardproxy.server import Certificates, Server, add_grpc_port, error_body, handshake_option, sender_of

_log = logging.getLogger(__name__)
ENDING_S = 5.0
_ENDED = (grpc.aio.UsageError, grpc.aio.InternalError)  # of a call that Envoy has ended
FRAME_BYTES = 64 * 1024  # beside a body, in one message


class Sender:
    """Sends the messages of one call, one after the other, also if two tasks send some."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._turn = asyncio.Lock()
        self._is_broken = False

    async def __call__(self, messages: Iterable[bytes]) -> None:
        """Sends messages. Raises `ConnectionError` if Envoy has ended the call."""
        async with self._turn:
            for message in messages:
                if self._is_broken:
                    raise ConnectionResetError("a message was not sent to its end")
                try:
                    await self._context.write(message)
                except asyncio.CancelledError:  # grpc may still write it
                    self._is_broken = True
                    raise
                except (grpc.RpcError, asyncio.InvalidStateError, *_ENDED):
                    raise ConnectionResetError("Envoy has ended the call") from None


class ExtProcDoor:
    """Takes the calls of Envoy for one process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._address = config.network.ext_proc
        self._server: Any = None
        self._port = 0
        self._handle: Server

    def bind(self, certificates: Certificates) -> None:
        """Takes the address. Raises `ConfigError`."""
        names = SETTINGS["ext_proc"].names
        if self._config.workers.count > 1 and self._address.startswith("unix:"):
            raise ConfigError(
                f"{names}: several workers cannot share a unix socket: give HOST:PORT, or run a process for each socket and "
                "name all of them in Envoy's cluster"
            )
        limits = self._config.limits
        most_bytes = max(limits.body_bytes, limits.answer_bytes) + FRAME_BYTES
        options = [
            ("grpc.max_receive_message_length", most_bytes),
            ("grpc.so_reuseport", int(self._config.workers.count > 1)),
            handshake_option(self._config.timeouts.head_s),
        ]
        # Beyond `limit_exchanges`, a request is refused with 503; far beyond it, Envoy answers for itself.
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=2 * limits.exchanges)
        handler = grpc.stream_stream_rpc_method_handler(self._process)  # bytes come and go
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        try:
            self._port = add_grpc_port(self._server, self._address, EXT_PROC, certificates)
        except RuntimeError:
            raise ConfigError(
                f"{names}: cannot listen on {self._address}: another process has it, or this user may not"
            ) from None

    async def open(self, server: Server) -> Mapping[str, object]:
        """Takes calls from now on. Returns the address for the program's log."""
        self._handle = server
        await self._server.start()
        shown = self._address
        if not shown.startswith("unix:"):
            shown = f"{shown.rpartition(':')[0]}:{self._port}"
        return {"ext_proc": shown}

    async def stop(self) -> None:
        """Takes no more calls."""
        # The server of the process ends what is left after `drain_s`, with an answer that says why.
        self._ending = asyncio.ensure_future(self._server.stop(2 * self._config.timeouts.drain_s + ENDING_S))

    async def close(self) -> None:
        """Ends the calls that are left."""
        await self._server.stop(0)
        await self._ending

    async def _process(self, _: object, context: Any) -> None:
        """Carries out a call."""
        timeouts = self._config.timeouts

        try:
            head = read(await context.read())
            if not isinstance(head, EnvoyHead) or not head.is_request:
                raise OutOfTurnError("the first message must be the headers of a request")
            call = EnvoyCall(head, Sender(context), timeouts.first_byte_s, timeouts.idle_s)
        except (OutOfTurnError, UnreadableMessageError) as error:
            _log.error("ext_proc call failed", extra={"error": str(error)})
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - grpc runs calls in tasks
        reading = asyncio.ensure_future(self._read(context, call, task))
        try:
            await self._answer(call)
        except ConnectionError:
            pass  # Envoy has ended the call
        except asyncio.CancelledError:
            if not call.fault:
                raise
            task.uncancel()
        finally:
            reading.cancel()
        if call.fault:
            _log.error("ext_proc call failed", extra={"error": call.fault})
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, call.fault)
        elif not call.conversation.is_over or call.wire.is_cut:
            await context.abort(grpc.StatusCode.INTERNAL, "the answer was cut")

    async def _answer(self, call: EnvoyCall) -> None:
        """Sends an answer to a call."""
        server = self._handle
        try:
            if server.pressure.refuses(sender_of(call.request.headers, call.wire.owner)):
                path = call.request.raw_path.partition("?")[0]
                await call.answer_with(ErrorCode.NO_CAPACITY.status, server.refusal(path))
                return
            response = await server.handle(call.request)
            if not call.wire.is_cut:  # short answers are written by who has called the handler
                await response.prepare(call.request)
                await response.write_eof()
        except ConnectionError:
            raise
        except Exception as error:
            _log.error("unexpected fault", extra={"error": type(error).__name__}, exc_info=error)
            if not call.conversation.has_begun_answer and not call.conversation.is_over:
                await call.answer_with(ErrorCode.INTERNAL_ERROR.status, error_body(ErrorCode.INTERNAL_ERROR))

    @staticmethod
    async def _read(context: Any, call: EnvoyCall, task: asyncio.Task[Any]) -> None:
        """Takes the messages of a call until it ends. If it ends early, nobody waits for the answer: `task` is cancelled, as
        for a client that leaves. Envoy does not tell whether the client or the upstream was the cause."""
        try:
            while (raw := await context.read()) is not grpc.aio.EOF:
                await call.take(read(raw))
        except (OutOfTurnError, UnreadableMessageError) as error:
            call.fault = str(error)
        except (grpc.RpcError, *_ENDED):
            pass  # Envoy has ended the call
        if call.fault or not call.has_arrived:
            task.cancel()
