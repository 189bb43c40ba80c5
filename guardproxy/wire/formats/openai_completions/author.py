"""Writes OpenAI Completions: requests, answers, streams and errors.

Field names and the order of events follow the types of the official SDK; identifiers are functions of the arguments.
https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import openai, prompts
from guardproxy.wire.authoring import CutText, Prompt, Reply, word_parts
from guardproxy.wire.framing.sse import frame
from guardproxy.wire.json import write

ROUTE = "POST /v1/completions"
ID_HEADER = "x-request-id"
PROMPT_PATH = ("prompt",)
DONE = "[DONE]"


models = openai.models
error = openai.upstream_error


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no completion request."""
    if not is_request(tree):
        raise ValueError("prompt must be a string, a list of strings, or token ids")
    if not isinstance(tree.get("model"), str):
        raise ValueError("model must be a string")
    texts = list(prompts.texts(tree["prompt"]))
    options = tree.get("stream_options") or {}
    return Prompt(
        model=tree["model"],
        text=texts[-1] if texts else "",
        prompt_words=sum(len(text.split()) for text in texts),
        stream=bool(tree.get("stream")),
        count=int(tree.get("n") or 1) * max(1, len(texts)),
        limit_words=tree.get("max_tokens"),
        with_usage=bool(options.get("include_usage")),
        with_logprobs=tree.get("logprobs") is not None,
        with_obfuscation=bool(options.get("include_obfuscation")),
        with_echo=bool(tree.get("echo")),
    )


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("prompt"), (str, list)) and bool(tree["prompt"])


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    text = f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text
    body: dict[str, Any] = {"model": prompt.model, "prompt": text}
    return {**body, "stream": True} if prompt.stream else body


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    match kind:
        case "metadata":
            return {"prompt": "", "user": text}
        case "unmapped":
            return {"prompt": "", "x_unknown": text}
    return {"prompt": text}


# Plain answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    choices = []
    for number in range(prompt.count):
        text = _text(prompt, reply, number)
        logprobs = _logprobs(prompt, word_parts(text), _begin(prompt)) if prompt.with_logprobs else None
        choices.append({"text": text, "index": number, "logprobs": logprobs, "finish_reason": _finish(reply)})
    return {**_head(prompt, ident), "choices": choices, "usage": _usage(prompt, reply)}


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {"model": text, **_whole("")}
        case "unmapped":
            return {**_whole(""), "x_unknown": text}
    return _whole(text)


def _whole(text: str) -> dict[str, Any]:
    return {"choices": [{"text": text, "index": 0, "finish_reason": "stop"}]}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """Writes nothing: a model answers on every route."""
    return {}


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream, `[DONE]` last."""
    head = _head(prompt, ident)

    def chunk(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        tree: dict[str, Any] = {**head, "choices": choices}
        if prompt.with_usage:
            tree["usage"] = usage
        if prompt.with_obfuscation:
            tree["obfuscation"] = "x" * (len(write(choices)) % 16)
        return event(tree)

    # The choices take turns, as they do when a server batches them.
    waiting = [(number, iter(cut(_text(prompt, reply, number))), _begin(prompt)) for number in range(prompt.count)]
    while waiting:
        still = []
        for number, pieces, begin in waiting:
            piece = next(pieces, None)
            logprobs = _logprobs(prompt, [piece], begin) if prompt.with_logprobs and piece else None
            finish = _finish(reply) if piece is None else None
            yield chunk([{"text": piece or "", "index": number, "logprobs": logprobs, "finish_reason": finish}])
            if piece is not None:
                still.append((number, pieces, begin + len(piece)))
        waiting = still
    if prompt.with_usage:
        yield chunk([], _usage(prompt, reply))
    yield event(DONE)


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    match kind:
        case "error":
            return [error_event("".join(pieces))]
        case "metadata":
            return chunks([], {"model": "".join(pieces)})
        case "unmapped":
            return chunks([{"text": "", "x_unknown": piece} for piece in pieces], {})
    return chunks([{"text": piece} for piece in pieces], {})


def chunks(parts: Sequence[Mapping[str, Any]], head: Mapping[str, Any], index: int = 0) -> list[bytes]:
    """Writes a stream of these parts of one choice. `head`: the fields before `choices`."""
    choices = [*({**part, "index": index, "finish_reason": None} for part in parts)]
    choices.append({"text": "", "index": index, "finish_reason": "stop"})
    return [*(event({**head, "choices": [choice]}) for choice in choices), event(DONE)]


def event(item: Any) -> bytes:
    """One event: an object as JSON, a string as it is."""
    return frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    return [] if DONE in items else [DONE]


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return event(error(500, message)) + openai.DONE


def _text(prompt: Prompt, reply: Reply, number: int) -> str:
    """Returns the text of choice `number`: the first is the reply itself, the others differ from it."""
    text = reply.text or reply.refusal or "\n".join(call.in_words() for call in reply.calls)
    text = f"{text} (answer {number + 1})" if number and text else text
    return prompt.text + text if prompt.with_echo else text


def _begin(prompt: Prompt) -> int:
    """Returns the offset of the first token of a text: servers count from the beginning of the prompt."""
    return 0 if prompt.with_echo else len(prompt.text)


def _head(prompt: Prompt, ident: str) -> dict[str, Any]:
    head = {"id": f"cmpl-{ident}", "object": "text_completion", "created": openai.CREATED_S, "model": prompt.model}
    return {**head, "system_fingerprint": "fp_scripted"}


def _finish(reply: Reply) -> str:
    return "length" if reply.cut else "stop"


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    output = reply.words * prompt.count
    return {
        "prompt_tokens": prompt.prompt_words,
        "completion_tokens": output,
        "total_tokens": prompt.prompt_words + output,
    }


def _logprobs(prompt: Prompt, tokens: Sequence[str], begin: int) -> dict[str, Any]:
    offsets = list(accumulate(map(len, tokens[:-1]), initial=begin))[: len(tokens)]
    return {
        "text_offset": offsets,
        "token_logprobs": [-0.5 if offset else None for offset in offsets],
        "tokens": list(tokens),
        "top_logprobs": [{token: -0.5} if offset else None for token, offset in zip(tokens, offsets, strict=True)],
    }
