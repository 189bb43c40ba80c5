"""A wire format whose requests are not JSON and whose path names the model: chat completions as a form, `chat=JSON` with
percent
signs, on `POST /models/{model}/chat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote, unquote_to_bytes

from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.wire import Route, Turns
from guardproxy.wire.contract import MediaTypes
from guardproxy.wire.formats.openai_chat import turns
from guardproxy.wire.formats.openai_chat.codec import OpenAIChat
from guardproxy.wire.formats.openai_chat.contract import CONTRACT
from guardproxy.wire.formats.openai_chat.writer import ChatAuthor
from guardproxy.wire.request.requests import read_body

ROUTE = Route("POST /models/{model}/chat")
FORM = "application/x-www-form-urlencoded"
_FIELD = b"chat="


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    return f"/models/{model}/chat", dict(tree)


class FormChatAuthor(ChatAuthor):
    """The author."""

    ROUTE = "POST /models/m/chat"


class FormChat(OpenAIChat):
    """The codec."""

    name = "form_chat"
    routes = (ROUTE.text,)
    contract = replace(CONTRACT, media=MediaTypes("application/json", "text/event-stream", (FORM,)))
    turns = cast(Turns, SimpleNamespace(**{**vars(turns), "with_model": with_model}))
    author = FormChatAuthor()

    def model_of(self, path: str, tree: dict[str, Any]) -> str:
        return (ROUTE.match(f"POST {path}") or {})["model"]

    def read_body(self, body: bytes) -> dict[str, Any]:
        if not body.startswith(_FIELD):
            raise DownstreamError(ErrorCode.INVALID_VALUE, "the form has no field `chat`", "chat")
        return read_body(unquote_to_bytes(body.removeprefix(_FIELD)))

    def write_body(self, tree: Any) -> bytes:
        return _FIELD + quote(super().write_body(tree), safe="").encode()


CODEC = FormChat()
