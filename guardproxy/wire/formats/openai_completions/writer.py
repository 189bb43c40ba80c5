"""Writes OpenAI Completions: requests, answers, streams and errors.

https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import CutText, Prompt, Reply, variant, word_parts
from guardproxy.wire.families.openai import CREATED_S, ChoicesAuthor
from guardproxy.wire.request import prompts


class CompletionsAuthor(ChoicesAuthor):
    """Writes the format."""

    ROUTE = "POST /v1/completions"
    PROMPT_PATH = ("prompt",)
    NO_PROMPT = "prompt must be a string, a list of strings, or token ids"
    OBJECT = "text_completion"

    # Requests.

    def options(self, tree: Any) -> dict[str, Any]:
        common = super().options(tree)
        return {
            **common,
            "count": common["count"] * max(1, len(list(prompts.texts(tree["prompt"])))),
            "limit_words": tree.get("max_tokens"),
            "with_logprobs": tree.get("logprobs") is not None,
            "with_echo": bool(tree.get("echo")),
        }

    def request(self, prompt: Prompt) -> dict[str, Any]:
        text = f"{prompt.system}\n\n{prompt.text}" if prompt.system else prompt.text
        body: dict[str, Any] = {"model": prompt.model, "prompt": text}
        if prompt.limit_words is not None:  # without it, servers cut an answer after 16 tokens
            body["max_tokens"] = prompt.limit_words
        return {**body, "stream": True} if prompt.stream else body

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        name = {"metadata": "user", "unmapped": "x_unknown"}.get(kind)
        return {"prompt": "", name: text} if name else {"prompt": text}

    # Answers.

    def head(self, prompt: Prompt, ident: str) -> dict[str, Any]:
        head = {"id": f"cmpl-{ident}", "object": self.OBJECT, "created": CREATED_S, "model": prompt.model}
        return {**head, "system_fingerprint": "fp_scripted"}

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        choices = []
        for number in range(prompt.count):
            text = _text(prompt, reply, number)
            choices.append(_choice(number, text, _logprobs(prompt, word_parts(text), _begin(prompt)), _finish(reply)))
        return {**self.head(prompt, ident), "choices": choices, "usage": self.usage(prompt, reply)}

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        name = {"metadata": "model", "unmapped": "x_unknown"}.get(kind)
        tree: dict[str, Any] = {"choices": [{"text": "" if name else text, "index": 0, "finish_reason": "stop"}]}
        return {name: text, **tree} if name else tree

    # Streams.

    def choices(self, prompt: Prompt, reply: Reply, ident: str, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
        begin = _begin(prompt)
        for piece in cut(_text(prompt, reply, number)):
            yield _choice(number, piece, _logprobs(prompt, [piece], begin) if piece else None, None)
            begin += len(piece)
        yield _choice(number, "", None, _finish(reply))

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        match kind:
            case "metadata":
                return self._chunks([], {"model": "".join(pieces)})
            case "unmapped":
                return self._chunks([{"text": "", "x_unknown": piece} for piece in pieces], {})
        return self._chunks([{"text": piece} for piece in pieces], {})

    def _chunks(
        self, parts: Sequence[Mapping[str, Any]], head: Mapping[str, Any], index: int = 0
    ) -> Iterator[dict[str, Any] | str]:
        for part in parts:
            yield {**head, "choices": [{**part, "index": index, "finish_reason": None}]}
        yield {**head, "choices": [{"text": "", "index": index, "finish_reason": "stop"}]}
        yield self.END

    def chunks(self, parts: Sequence[Mapping[str, Any]], head: Mapping[str, Any], index: int = 0) -> list[bytes]:
        """Writes a stream of these parts of one choice. `head`: the fields before `choices`."""
        return list(map(self.event, self._chunks(parts, head, index)))


def _text(prompt: Prompt, reply: Reply, number: int) -> str:
    """Returns the text of a choice, behind the prompt if the request asks for an echo."""
    text = variant(reply.text or reply.refusal or "\n".join(call.in_words() for call in reply.calls), number)
    return prompt.text + text if prompt.with_echo else text


def _begin(prompt: Prompt) -> int:
    """Returns the offset of the first token of a text: servers count from the beginning of the prompt."""
    return 0 if prompt.with_echo else len(prompt.text)


def _choice(number: int, text: str, logprobs: Any, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": logprobs, "finish_reason": finish}


def _finish(reply: Reply) -> str:
    return "length" if reply.cut else "stop"


def _logprobs(prompt: Prompt, tokens: Sequence[str], begin: int) -> dict[str, Any] | None:
    if not prompt.with_logprobs:
        return None
    offsets = list(accumulate(map(len, tokens[:-1]), initial=begin))[: len(tokens)]
    return {
        "text_offset": offsets,
        "token_logprobs": [-0.5 if offset else None for offset in offsets],
        "tokens": list(tokens),
        "top_logprobs": [{token: -0.5} if offset else None for token, offset in zip(tokens, offsets, strict=True)],
    }


author = CompletionsAuthor()
