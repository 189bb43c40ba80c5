"""Writes Gemini generateContent: requests, answers, streams and errors.

Field names and the order of frames follow the types of the official SDK; identifiers and signatures are functions of the
arguments. https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.authoring import CutText, Prompt, Reply, word_parts
from guardproxy.wire.formats.gemini_generate.spelling import value
from guardproxy.wire.formats.gemini_generate.turns import contents, texts_of
from guardproxy.wire.framing import data_lines
from guardproxy.wire.json import members, write

ROUTE = "POST /v1beta/models/scripted:streamGenerateContent"
ID_HEADER = "x-request-id"
PROMPT_PATH = ("contents", 0, "parts", 0, "text")
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
DIMENSIONS = 8
_MOST_DIMENSIONS = 4096


def status_of(status: int) -> str:
    """Returns the word of Google's APIs for an HTTP status."""
    return STATUSES.get(status, STATUSES[400] if status < 500 else STATUSES[500])


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request, without the model and the stream, which the path names. Raises `ValueError` when it is no
    request."""
    every = contents(tree)
    if not is_request(tree) or not every:
        raise ValueError("contents: a list with at least one content is required")
    last: Any = next((content for content in reversed(every) if members(content).get("role") != "model"), {})
    results = [members(value(part, "functionResponse")).get("response") for part in _parts(last)]
    given = [str(members(result).get("result", result)) for result in results if result is not None]
    config = value(tree, "generationConfig")
    system = "\n".join(texts_of(value(tree, "systemInstruction")))
    words = [text for content in every for text in texts_of(content)]
    schema = value(config, "responseJsonSchema")
    return Prompt(
        model="",
        text="\n".join(given or texts_of(last)),
        tool_result=bool(given),
        system=system,
        prompt_words=len(system.split()) + sum(len(text.split()) for text in words),
        count=int(value(config, "candidateCount") or 1),
        limit_words=value(config, "maxOutputTokens"),
        schema=value(config, "responseSchema") if schema is None else schema,
        with_logprobs=bool(value(config, "responseLogprobs")),
    )


def _parts(content: Any) -> list[Any]:
    parts = value(content, "parts")
    return parts if isinstance(parts, list) else [parts]


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    names = ("contents", "content", "requests", "generateContentRequest")
    return isinstance(tree, dict) and any(isinstance(value(tree, name), (list, dict)) for name in names)


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    body: dict[str, Any] = {"contents": [_said("user", prompt.text)]}
    if prompt.system:
        body["systemInstruction"] = {"parts": [{"text": prompt.system}]}
    if prompt.schema is not None:
        body["generationConfig"] = {"responseMimeType": "application/json", "responseJsonSchema": prompt.schema}
    if prompt.tools:
        declared = [{"name": name, "parametersJsonSchema": schema} for name, schema in prompt.tools.items()]
        body["tools"] = [{"functionDeclarations": declared}]
    return body


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    empty: dict[str, Any] = {"contents": [_said("user", "")]}
    match kind:
        case "system":
            return {**empty, "systemInstruction": {"parts": [{"text": text}]}}
        case "tool_definition":
            return {**empty, "tools": [{"functionDeclarations": [{"name": "tool", "description": text}]}]}
        case "metadata":
            return {**empty, "labels": {"a": text}}
        case "unmapped":
            return {**empty, "x_unknown": text}
        case "tool_result":
            result = {"functionResponse": {"name": "tool", "response": {"result": text}}}
            return {"contents": [{"role": "user", "parts": [result]}]}
    return {"contents": [{"role": "user" if kind == "user" else "model", "parts": [_part(kind, text)]}]}


def _part(kind: Kind, text: str) -> dict[str, Any]:
    """A part with one text of a kind."""
    match kind:
        case "reasoning":
            return {"text": text, "thought": True}
        case "tool_arguments":
            return {"functionCall": {"name": "tool", "args": {"value": text}}}
        case "tool_result":
            return {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": text}}
    return {"text": text}


# Plain answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    candidates = []
    for number in range(prompt.count):
        text = _text(reply, number)
        candidate: dict[str, Any] = {
            "content": {"parts": _whole_parts(reply, text), "role": "model"},
            "finishReason": _finish(reply),
            "index": number,
        }
        if prompt.with_logprobs:
            candidate |= {"avgLogprobs": -0.5, "logprobsResult": _logprobs(word_parts(text))}
        candidates.append(candidate)
    return {"candidates": candidates, **_about(prompt, reply, ident)}


def _about(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    return {"usageMetadata": _usage(prompt, reply), **_head(prompt, ident)}


def _head(prompt: Prompt, ident: str) -> dict[str, Any]:
    return {"modelVersion": prompt.model, "responseId": ident[:22]}


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    output = reply.words * prompt.count
    details = [{"modality": "TEXT", "tokenCount": prompt.prompt_words}]
    return {
        "promptTokenCount": prompt.prompt_words,
        "candidatesTokenCount": output,
        "totalTokenCount": prompt.prompt_words + output,
        "promptTokensDetails": details,
    }


def _whole_parts(reply: Reply, text: str) -> list[dict[str, Any]]:
    thought = [{**_part("reasoning", reply.reasoning), **_signed(reply)}] if reply.reasoning else []
    said = [{"text": text}] if text or not (reply.calls or thought) else []
    return [*thought, *said, *_calls(reply)]


def _signed(reply: Reply) -> dict[str, Any]:
    return {"thoughtSignature": base64.b64encode(hashlib.sha512(reply.reasoning.encode()).digest()).decode()}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": call.name, "args": call.input() or {}}} for call in reply.calls]


def _text(reply: Reply, number: int) -> str:
    """Returns the text of a candidate: the first is the reply itself, the others differ from it."""
    text = reply.text or reply.refusal
    return f"{text} (answer {number + 1})" if number and text else text


def _finish(reply: Reply) -> str:
    return "SAFETY" if reply.refusal else "MAX_TOKENS" if reply.cut else "STOP"


def _logprobs(tokens: Sequence[str]) -> dict[str, Any]:
    chosen = [{"token": token, "tokenId": number, "logProbability": -0.5} for number, token in enumerate(tokens)]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": [token]} for token in chosen]}


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    if kind == "error":
        return error(500, text)
    return _candidates([_part(kind, text)] if kind in _OF_PARTS else [{"text": ""}], _beside(kind, text))


_OF_PARTS = ("assistant", "reasoning", "tool_arguments", "tool_result")


def _beside(kind: Kind, text: str) -> dict[str, Any]:
    """Returns the fields of an answer for a text that is in no part; `finishMessage` belongs to the candidate."""
    match kind:
        case "refusal":
            return {"finishMessage": text}
        case "metadata":
            return {"modelStatus": {"message": text}}
        case "unmapped":
            return {"x_unknown": text}
    return {}


def _candidates(
    parts: Sequence[Mapping[str, Any]], beside: Mapping[str, Any] | None = None, finish: str = "STOP", index: int = 0
) -> dict[str, Any]:
    """Returns an answer or a frame with these parts of one candidate."""
    rest = dict(beside or {})
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish:
        candidate["finishReason"] = finish
    if "finishMessage" in rest:
        candidate["finishMessage"] = rest.pop("finishMessage")
    return {"candidates": [candidate], **rest}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """The answer of a route that counts tokens or returns vectors."""
    if route.endswith("countTokens"):
        words = read(tree).prompt_words
        return {"totalTokens": words, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": words}]}
    vectors = [{"values": _vector(content, value(tree, "outputDimensionality"))} for content in contents(tree)]
    return {"embeddings": vectors} if route.endswith("batchEmbedContents") else {"embedding": vectors[0]}


def _vector(content: Any, count: int | None) -> list[float]:
    noise = hashlib.shake_256(write(content)).digest(min(int(count or DIMENSIONS), _MOST_DIMENSIONS))
    return [level / 128 - 1 for level in noise]


def models(names: Sequence[str]) -> dict[str, Any]:
    """The answer of `GET /v1beta/models`."""
    actions = ["generateContent", "countTokens"]
    return {
        "models": [
            {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": actions} for name in names
        ]
    }


# Streams.


def trees(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[dict[str, Any]]:
    """The frames of a stream, as objects. The candidates take turns."""
    head = _head(prompt, ident)
    waiting = [(number, iter(_pieces(prompt, reply, number, cut))) for number in range(prompt.count)]
    while waiting:
        still = []
        for number, pieces in waiting:
            piece = next(pieces, None)
            if piece is not None:
                yield {"candidates": [{**piece, "index": number}], **head}
                still.append((number, pieces))
                continue
            last = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": _finish(reply)}
            yield {"candidates": [{**last, "index": number}], **_about(prompt, reply, ident)}
        waiting = still


def _pieces(prompt: Prompt, reply: Reply, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
    """Yields the parts of a candidate as they arrive: a candidate for each."""
    for piece in cut(reply.reasoning) if reply.reasoning else ():
        yield {"content": {"parts": [_part("reasoning", piece)], "role": "model"}}
    for piece in cut(_text(reply, number)):
        found = {"logprobsResult": _logprobs([piece])} if prompt.with_logprobs else {}
        yield {"content": {"parts": [{"text": piece}], "role": "model"}, **found}
    if reply.calls:
        yield {"content": {"parts": _calls(reply), "role": "model"}}


def trees_with(kind: Kind, pieces: Sequence[str]) -> list[dict[str, Any]]:
    """The frames of a stream with one text of a kind, as objects."""
    text = "".join(pieces)
    last = _candidates([{"text": ""}])
    match kind:
        case "error":
            return [error(500, text)]
        case "assistant" | "reasoning":
            return [*(_candidates([_part(kind, piece)], finish="") for piece in pieces), last]
        case "unmapped":
            return [*(_candidates([{"text": "", "x_unknown": piece}], finish="") for piece in pieces), last]
        case "tool_arguments":
            begun = _candidates([{"functionCall": {"name": "tool", "willContinue": True}}], finish="")
            return [begun, *(_candidates([_partial(piece)], finish="") for piece in pieces), _candidates([_CALLED])]
        case "tool_result":
            return [_candidates([_part(kind, text)], finish=""), last]
    return [_candidates([{"text": ""}], finish=""), _candidates([{"text": ""}], _beside(kind, text))]


_CALLED: Mapping[str, Any] = {"functionCall": {}}


def _partial(piece: str) -> dict[str, Any]:
    """Returns a part with the next piece of an argument."""
    given = {"jsonPath": "$.value", "stringValue": piece, "willContinue": True}
    return {"functionCall": {"partialArgs": [given], "willContinue": True}}


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream."""
    return map(event, trees(prompt, reply, ident, cut))


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    return [event(tree) for tree in trees_with(kind, pieces)]


def event(item: Any) -> bytes:
    """One event: an object as JSON, a string as it is."""
    return data_lines.frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    return [] if any(map(_is_end, items)) else [_candidates([{"text": ""}])]


def _is_end(item: Any) -> bool:
    candidates = members(item).get("candidates")
    listed = candidates if isinstance(candidates, list) else []
    return "error" in members(item) or any(members(candidate).get("finishReason") for candidate in listed)


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"code": status, "message": message, "status": status_of(status)}}


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and its end."""
    return event(error(500, message))
