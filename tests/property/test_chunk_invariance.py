"""Tests chunk invariance: for every way of cutting the same upstream text the client gets the same text, the same findings are
reported, and the same decisions are made. Covers all formats; text, reasoning and tool arguments; redaction, restoring and
blocking; cuts of the bytes, cuts of the text into frames, and scans that come late."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.deciding.evaluate import PolicySet
from tests.kit.completions import COMPLETIONS, completion_frames, completion_texts
from tests.kit.gemini import GEMINI, gemini_frames, gemini_texts
from tests.kit.ollama import GENERATE, OLLAMA, line_frames, line_texts
from tests.kit.play import (
    CHAT,
    MESSAGES,
    Play,
    chat_frames,
    chat_texts,
    cut,
    events,
    hashed,
    message_frames,
    message_texts,
    mint,
    pieces,
    policy_set,
    sse,
)
from tests.kit.responses import RESPONSES, growing, response_frames, response_texts, stream

MAIL = "jo@ab.io"
TOKEN = mint("MAIL", MAIL)

POLICY = """
policy: test
formats:
  acme:
    routes: [POST /acme/talk]
    request: {texts: {/prompt: user}, stream: /stream}
    answer: {texts: {/choices/*/text: assistant}}
    stream:
      framing: sse
      texts: {/choices/*/text: assistant}
      structure: [/choices/*/index]
      end: "[DONE]"
    error: /error/message
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.(io|com)"]}
  code: {use: pattern, label: CODE, patterns: ["\\\\bK-[0-9]{4,8}\\\\b"]}
  bad:  {use: pattern, label: BAD, words: [forbidden thing]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: code, on: response, when: code, action: redact}
  - {id: bad, on: response, when: bad, action: block}
"""


@cache
def rules() -> PolicySet:
    return policy_set(POLICY)


def ask(route: str) -> dict[str, Any]:
    if route in (COMPLETIONS, GENERATE, DECLARED):
        return {"model": "m", "stream": True, "prompt": f"I am {MAIL}."}
    if route == GEMINI:
        return {"contents": [{"parts": [{"text": f"I am {MAIL}."}]}]}
    body: dict[str, Any] = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"I am {MAIL}."}]}
    if route == RESPONSES:
        return {"model": "m", "stream": True, "input": f"I am {MAIL}."}
    return {**body, "max_tokens": 9} if route == MESSAGES else body


DECLARED = "POST /acme/talk"


def declared_frames(parts: Sequence[str]) -> list[bytes]:
    choices = [{"text": part, "index": 0} for part in ("", *parts)]
    return [*(sse({"choices": [choice]}) for choice in choices), b"data: [DONE]\n\n"]


def declared_texts(data: bytes) -> dict[str, str]:
    out = {"text": ""}
    for _, tree in events(data):
        for choice in [] if tree == "[DONE]" else tree.get("choices", []):
            out["text"] += choice["text"]
    return out


Frames = Callable[[Sequence[str]], list[bytes]]


def tool(parts: Sequence[str]) -> list[bytes]:
    first = {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "send", "arguments": ""}}]}
    return chat_frames([first, *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts)])


SHAPES: dict[str, tuple[str, Frames, Callable[[bytes], dict[str, str]], str]] = {
    "completions text": (COMPLETIONS, completion_frames, completion_texts, "text0"),
    "completions unknown field": (
        COMPLETIONS,
        lambda parts: completion_frames(parts, "thoughts"),
        completion_texts,
        "thoughts0",
    ),
    **{
        f"gemini {kind}": (GEMINI, partial(gemini_frames, kind=kind), gemini_texts, kind)
        for kind in ("text", "argument")
    },
    "chat text": (CHAT, lambda parts: chat_frames([{"content": part} for part in parts]), chat_texts, "content0"),
    "chat reasoning": (
        CHAT,
        lambda parts: chat_frames([*({"reasoning_content": part} for part in parts), {"content": "So."}]),
        chat_texts,
        "reasoning_content0",
    ),
    "chat refusal": (CHAT, lambda parts: chat_frames([{"refusal": part} for part in parts]), chat_texts, "refusal0"),
    "chat unknown field": (
        CHAT,
        lambda parts: chat_frames([{"content": "", "thoughts": [{"text": part}]} for part in parts]),
        lambda data: unknown_texts(data),  # noqa: PLW0108 - it is defined below
        "thoughts",
    ),
    "messages text": (MESSAGES, lambda parts: message_frames([("text", parts)]), message_texts, "block0"),
    "messages thinking": (
        MESSAGES,
        lambda parts: message_frames([("thinking", parts), ("text", ["So."])]),
        message_texts,
        "block0",
    ),
    "declared text": (DECLARED, declared_frames, declared_texts, "text"),
    "ollama chat text": (OLLAMA, partial(line_frames, OLLAMA, "content"), line_texts, "content"),
    "ollama generate thinking": (
        GENERATE,
        lambda parts: line_frames(GENERATE, "thinking", parts, ["So."]),
        line_texts,
        "thinking",
    ),
    **{
        f"responses {base.removeprefix('response.')}": (RESPONSES, partial(response_frames, base), response_texts, base)
        for base in ("response.output_text", "response.custom_tool_call_input")
    },
    "responses reasoning": (
        RESPONSES,
        lambda parts: stream(
            growing("response.reasoning_summary_text", parts), growing("response.output_text", ["So."], 1)
        ),
        response_texts,
        "response.reasoning_summary_text",
    ),
}
TOOLS: dict[str, tuple[str, Frames, Callable[[bytes], dict[str, str]], str]] = {
    "chat tool": (CHAT, tool, chat_texts, "tool"),
    "messages tool": (MESSAGES, lambda parts: message_frames([("tool", parts)], "tool_use"), message_texts, "block0"),
    "responses tool": (
        RESPONSES,
        partial(response_frames, "response.function_call_arguments"),
        response_texts,
        "response.function_call_arguments",
    ),
}


# A stream of Responses has four times the bytes, as it repeats each text. `guardproxy.testing` cuts these at every byte.
STEP = {RESPONSES: 7, GEMINI: 31}


def unknown_texts(data: bytes) -> dict[str, str]:
    out = chat_texts(data)
    for row in data.decode().split("\n\n"):
        if "thoughts" in row:
            delta = json.loads(row.removeprefix("data: "))["choices"][0]["delta"]
            out["thoughts"] = out.get("thoughts", "") + delta["thoughts"][0]["text"]
    return out


def play(route: str, chunks: Sequence[bytes], waits: Sequence[bool] = ()) -> Play:
    return Play(rules(), route).ask(ask(route)).stream(chunks, waits)


def expected(text: str) -> tuple[str, bool]:
    """The text that the client must get for `text`, found by plain string search, and whether the answer is stopped."""
    stop = re.search(r"\bforbidden thing\b", text, re.IGNORECASE)
    shown = text[: stop.start()] if stop else text
    shown = re.sub(r"\bK-[0-9]{4,8}\b", lambda match: mint("CODE", match[0]), shown, flags=re.ASCII)
    return shown.replace(TOKEN, MAIL), stop is not None


TEXTS = [
    f"Write to {TOKEN} now.",
    "The code is K-12345, keep it.",
    f"{TOKEN}{TOKEN}K-4444",
    "a [EMAIL_ADDRESS_x] forbidden thing, then K-9999 more",
    "K-123 is short, K-123456789 is long, XK-12345 is none",
    "[[[MAIL_bcdf",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", TEXTS)
def test_every_single_cut_of_the_text_and_of_the_bytes(shape: str, text: str) -> None:
    """Cuts the text into two pieces at every offset, and the bytes of one frame at every offset."""
    route, frames, read, name = SHAPES[shape]
    whole = play(route, frames([text]))
    shown, stopped = expected(text)
    assert read(whole.client).get(name, "") == shown
    assert (whole.finish.outcome == "blocked_response") == stopped
    for place in range(1, len(text)):
        split = play(route, frames(pieces(text, [place])))
        assert read(split.client).get(name, "") == shown, place
        assert split.record["decisions"] == whole.record["decisions"], place
        if not stopped:  # what came after a stop is not read, so it is not in the record
            assert split.record["response"]["texts"] == whole.record["response"]["texts"], place
    data = b"".join(frames([text]))
    # What comes before the text is the same for every text, so it is cut for the first alone.
    other = b"".join(frames(["~"]))
    before = next(at for at in range(len(other)) if data[at] != other[at]) if text != TEXTS[0] else 1
    for place in range(before, len(data), STEP.get(route, 1)):
        assert play(route, cut(data, [place])).client == whole.client, place


@pytest.mark.parametrize("shape", TOOLS)
def test_every_single_cut_of_tool_arguments(shape: str) -> None:
    route, frames, read, name = TOOLS[shape]
    text = json.dumps({"to": TOKEN, "code": "K-\u00345678", "n": 5}).replace("K-4", "\\u004b-\\u0034")
    wanted = {"to": MAIL, "code": mint("CODE", "K-45678"), "n": 5}
    whole = play(route, frames([text]))
    assert json.loads(read(whole.client)[name]) == wanted
    for place in range(1, len(text)):
        split = play(route, frames(pieces(text, [place])))
        assert read(split.client)[name] == read(whole.client)[name], place
        assert split.record["decisions"] == whole.record["decisions"]
    data = b"".join(frames(pieces(text, [7, 20])))
    for place in range(1, len(data), STEP.get(route, 1)):
        assert read(play(route, cut(data, [place])).client)[name] == read(whole.client)[name], place


@pytest.mark.parametrize("shape", ["chat text", "messages text", "responses output_text"])
def test_every_pair_of_cuts_of_a_short_secret(shape: str) -> None:
    route, frames, read, name = SHAPES[shape]
    text = "is K-12345."
    shown, _ = expected(text)
    for places in combinations(range(1, len(text)), 2):
        assert read(play(route, frames(pieces(text, places))).client)[name] == shown, places


PARTS = (
    *(TOKEN, TOKEN[:9], TOKEN[9:], "K-", "1234", "567", "K-12345", " ", "[", "]", "forbidden", " thing", "x", "é"),
    *("\U0001f600", "forbidden thing", "_", "MAIL_", "\n", '"'),
)
# Nothing comes back in a URL, which `expected` does not know: with white space beside them, these make none. Where a text
# may hold one, the second property compares whole and split alone, and the tests of URLs say what is one.
FRAGMENTS = st.sampled_from((*PARTS, ". ", " \\ "))
URL_FRAGMENTS = st.sampled_from(
    (
        *PARTS,
        *(TOKEN, ".", "\\", "/", ":", "@", "://", "www.", "evil.example", "](", "[x](", "]: ", "<a href='", ">", "%2e"),
    )
)
CUTS = st.lists(st.integers(0, 400), max_size=12)


@pytest.mark.parametrize("shape", SHAPES)
@given(
    parts=st.lists(FRAGMENTS, min_size=1, max_size=12),
    text_cuts=CUTS,
    byte_cuts=CUTS,
    waits=st.lists(st.booleans(), max_size=20),
)
def test_any_text_any_cuts_any_delay(
    shape: str, parts: list[str], text_cuts: list[int], byte_cuts: list[int], waits: list[bool]
) -> None:
    route, frames, read, name = SHAPES[shape]
    text = "".join(parts)
    shown, stopped = expected(text)
    whole = play(route, frames([text]))
    split = frames(pieces(text, text_cuts))
    other = play(route, cut(b"".join(split), [place * 7 for place in byte_cuts]), waits)
    assert read(whole.client).get(name, "") == read(other.client).get(name, "") == shown
    assert whole.finish.outcome == other.finish.outcome
    assert (other.finish.outcome == "blocked_response") == stopped
    assert whole.record["decisions"] == other.record["decisions"]
    if not stopped:
        assert whole.record["response"]["texts"] == other.record["response"]["texts"]
    straight = play(route, split)
    assert straight.client == other.client, "the same frames give the same bytes, however they are cut and scanned"


@pytest.mark.parametrize("shape", [*SHAPES, *TOOLS])
@given(parts=st.lists(URL_FRAGMENTS, min_size=1, max_size=14), cuts=CUTS, waits=st.lists(st.booleans(), max_size=20))
def test_what_stays_in_a_url_is_the_same_however_it_is_cut(
    shape: str, parts: list[str], cuts: list[int], waits: list[bool]
) -> None:
    """Compares the placeholders that stay, the decisions and the record, for a text and for a string of a tool call."""
    route, frames, read, name = {**SHAPES, **TOOLS}[shape]
    text = json.dumps({"a": "".join(parts)}) if shape in TOOLS else "".join(parts)
    whole = play(route, frames([text]))
    split = play(route, frames(pieces(text, cuts)), waits)
    each = play(route, frames(pieces(text, range(1, len(text)))))
    for other in (split, each):
        assert read(other.client).get(name, "") == read(whole.client).get(name, "")
        assert other.finish.outcome == whole.finish.outcome
        assert other.record["decisions"] == whole.record["decisions"]
        if whole.finish.outcome == "answered":
            assert other.record["response"]["texts"] == whole.record["response"]["texts"]


@pytest.mark.parametrize("shape", ["chat text", "messages text", "responses output_text"])
@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("A.A", ()),
        ("A, A.", ()),
        ("([A])", ()),
        ("a:A", ()),
        ("A.A.A. A", ()),
        ("AA-A", ()),
        ("A.evil.io", (0,)),
        ("https://evil.io/A, A", (0,)),
        ("A [x](A) A.A.io A", (1, 2, 3)),
        ("A.A/x A", (0,)),
    ],
)
def test_what_comes_back_beside_other_values(shape: str, text: str, stays: tuple[int, ...]) -> None:
    """`A` is a placeholder; `stays` is the number of placeholders that no value replaces, at every cut."""
    route, frames, read, name = SHAPES[shape]
    first, *rest = text.split("A")
    shown = first + "".join((TOKEN if at in stays else MAIL) + part for at, part in enumerate(rest))
    source = text.replace("A", TOKEN)
    for place in range(len(source)):
        played = play(route, frames(pieces(source, [place])))
        assert read(played.client).get(name, "") == shown, place


def mapped(node: Any) -> Any:
    """The expected document: each string and key is changed alone."""
    if isinstance(node, str):
        return expected(node)[0]
    if isinstance(node, list):
        return [mapped(child) for child in node]
    if isinstance(node, dict):
        return {mapped(key): mapped(child) for key, child in node.items()}
    return node


STRINGS = st.lists(FRAGMENTS, max_size=5).map("".join)
DOCUMENTS = st.recursive(
    STRINGS | st.integers(-(10**12), 10**12) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("shape", TOOLS)
@given(document=DOCUMENTS, escaped=st.booleans(), text_cuts=CUTS, byte_cuts=CUTS, broken=st.integers(0, 400))
def test_any_tool_arguments(
    shape: str, document: Any, escaped: bool, text_cuts: list[int], byte_cuts: list[int], broken: int
) -> None:
    """Tests whole arguments and arguments that are cut off, escaped or not: the result is the same for every cut, and valid
    JSON stays valid."""
    route, frames, read, name = TOOLS[shape]
    text = json.dumps(document, ensure_ascii=escaped)
    whole = play(route, frames([text]))
    split = cut(b"".join(frames(pieces(text, text_cuts))), [place * 7 for place in byte_cuts])
    assert read(play(route, split).client).get(name, "") == read(whole.client).get(name, "")
    if whole.finish.outcome == "answered":
        assert json.loads(read(whole.client)[name]) == mapped(document)
    part = text[:broken]
    if part:
        assert read(play(route, frames(pieces(part, text_cuts))).client).get(name, "") == read(
            play(route, frames([part])).client
        ).get(name, "")


OPERATORS: dict[str, Callable[[str], str]] = {
    "redact": lambda value: "",
    "hash": lambda value: hashed("sha256", value),
    "{type: replace, new_value: GONE}": lambda value: "GONE",
    "mask": lambda value: "*" * len(value),
    "{type: mask, chars_to_mask: 3, from_end: true, masking_char: '#'}": lambda value: value[:-3] + "###",
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("shape", ["chat text", "messages thinking", "responses output_text"])
@given(parts=st.lists(FRAGMENTS, min_size=1, max_size=8), cuts=CUTS, waits=st.lists(st.booleans(), max_size=9))
def test_every_operator_puts_the_same_there_however_it_is_cut(
    operator: str, shape: str, parts: list[str], cuts: list[int], waits: list[bool]
) -> None:
    route, frames, read, name = SHAPES[shape]
    text = "".join(parts)
    stop = re.search(r"\bforbidden thing\b", text, re.IGNORECASE)
    shown = re.sub(
        r"\bK-[0-9]{4,8}\b",
        lambda match: OPERATORS[operator](match[0]),
        text[: stop.start()] if stop else text,
        flags=re.ASCII,
    )
    policies = operated(operator)
    whole = Play(policies, route).ask(ask(route)).stream(frames([text]))
    split = Play(policies, route).ask(ask(route)).stream(frames(pieces(text, cuts)), waits)
    assert read(whole.client).get(name, "") == read(split.client).get(name, "") == shown.replace(TOKEN, MAIL)
    assert whole.record["decisions"] == split.record["decisions"]


@cache
def operated(operator: str) -> PolicySet:
    plain = "when: code, action: redact"
    assert plain in POLICY
    return policy_set(POLICY.replace(plain, f"{plain}, operators: {{DEFAULT: {operator}}}"))
