"""Writes Gemini generateContent: requests, answers, streams and errors. A stream is events, or the elements of a JSON array.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply, in_turns, variant, vector, word_parts
from guardproxy.wire.formats.gemini_generate.field_case import value
from guardproxy.wire.formats.gemini_generate.turns import contents, texts_of
from guardproxy.wire.framing import Framing, data_lines, json_array
from guardproxy.wire.json import members, write_line

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
_OF_PARTS = ("assistant", "reasoning", "tool_arguments", "tool_result")
_CALLED: Mapping[str, Any] = {"functionCall": {}}


def status_of(status: int) -> str:
    """Returns the word of Google's APIs for an HTTP status."""
    return STATUSES.get(status, STATUSES[400] if status < 500 else STATUSES[500])


class GeminiAuthor(JsonAuthor):
    """Writes the format, and streams of events."""

    ROUTE = "POST /v1beta/models/scripted:streamGenerateContent"
    PROMPT_PATH = ("contents", 0, "parts", 0, "text")
    framing: Framing = data_lines

    @property
    def END(self) -> Any:  # noqa: N802 - a constant of most authors
        return _candidates([{"text": ""}])

    # Requests.

    def read(self, tree: Any) -> Prompt:
        every = contents(tree)
        if not self.is_request(tree) or not every:
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

    def is_request(self, tree: Any) -> bool:
        names = ("contents", "content", "requests", "generateContentRequest")
        return isinstance(tree, dict) and any(isinstance(value(tree, name), (list, dict)) for name in names)

    def request(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {"contents": [_said("user", prompt.text)]}
        if prompt.system:
            body["systemInstruction"] = {"parts": [{"text": prompt.system}]}
        if prompt.schema is not None:
            body["generationConfig"] = {"responseMimeType": "application/json", "responseJsonSchema": prompt.schema}
        if prompt.tools:
            declared = [{"name": name, "parametersJsonSchema": schema} for name, schema in prompt.tools.items()]
            body["tools"] = [{"functionDeclarations": declared}]
        return body

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
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

    # Answers.

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
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

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        return _candidates([_part(kind, text)] if kind in _OF_PARTS else [{"text": ""}], _beside(kind, text))

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of a route that counts tokens or returns vectors."""
        if route.endswith("countTokens"):
            words = self.read(tree).prompt_words
            return {"totalTokens": words, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": words}]}
        vectors = [{"values": vector(content, value(tree, "outputDimensionality"))} for content in contents(tree)]
        return {"embeddings": vectors} if route.endswith("batchEmbedContents") else {"embedding": vectors[0]}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        actions = ["generateContent", "countTokens"]
        return {
            "models": [
                {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": actions} for name in names
            ]
        }

    # Streams.

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        head = _head(prompt, ident)
        for candidate, is_last in in_turns(_pieces(prompt, reply, number, cut) for number in range(prompt.count)):
            yield {"candidates": [candidate], **(_about(prompt, reply, ident) if is_last else head)}

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        text = "".join(pieces)
        last = _candidates([{"text": ""}])
        match kind:
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

    def is_end(self, item: Any) -> bool:
        candidates = members(item).get("candidates")
        listed = candidates if isinstance(candidates, list) else []
        return "error" in members(item) or any(members(candidate).get("finishReason") for candidate in listed)

    # Errors.

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": status_of(status)}}


class ArrayAuthor(GeminiAuthor):
    """Writes the format, and streams as a JSON array."""

    framing: Framing = json_array

    def frames(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
        return _array(self.items(prompt, reply, ident, cut))

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        items = [self.error(500, "".join(pieces))] if kind == "error" else self.items_with(kind, pieces)
        return list(_array(items))

    def event(self, item: Any) -> bytes:
        """Writes an element that is not the first."""
        return json_array.frame(item.replace("\n", " ").encode() if isinstance(item, str) else write_line(item), ",")

    def error_event(self, message: str) -> bytes:
        """Writes an error in the middle of a stream, and the end of the array."""
        return json_array.frame(write_line(self.error(500, message)), ",]")


def _array(items: Iterable[Any]) -> Iterator[bytes]:
    name = "["
    for item in items:
        yield json_array.frame(write_line(item), name)
        name = ","
    yield json_array.CLOSE


def _parts(content: Any) -> list[Any]:
    parts = value(content, "parts")
    return parts if isinstance(parts, list) else [parts]


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


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
    return variant(reply.text or reply.refusal, number)


def _finish(reply: Reply) -> str:
    return "SAFETY" if reply.refusal else "MAX_TOKENS" if reply.cut else "STOP"


def _logprobs(tokens: Sequence[str]) -> dict[str, Any]:
    chosen = [{"token": token, "tokenId": number, "logProbability": -0.5} for number, token in enumerate(tokens)]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": [token]} for token in chosen]}


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


def _pieces(prompt: Prompt, reply: Reply, number: int, cut: CutText) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yields the parts of a candidate as they arrive: a candidate for each, and whether it is the last."""
    for piece in cut(reply.reasoning) if reply.reasoning else ():
        yield {**_content([_part("reasoning", piece)]), "index": number}, False
    for piece in cut(_text(reply, number)):
        found = {"logprobsResult": _logprobs([piece])} if prompt.with_logprobs else {}
        yield {**_content([{"text": piece}]), **found, "index": number}, False
    if reply.calls:
        yield {**_content(_calls(reply)), "index": number}, False
    yield {**_content([{"text": ""}]), "finishReason": _finish(reply), "index": number}, True


def _content(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"content": {"parts": list(parts), "role": "model"}}


def _partial(piece: str) -> dict[str, Any]:
    """Returns a part with the next piece of an argument."""
    given = {"jsonPath": "$.value", "stringValue": piece, "willContinue": True}
    return {"functionCall": {"partialArgs": [given], "willContinue": True}}


author = GeminiAuthor()
array_author = ArrayAuthor()
