"""The scripted model: takes the last message of a conversation and returns a reply.

Pure: no I/O, no clock, no randomness, so that equal conversations get equal replies with and without a proxy in
between. Phrases in the last message make the model misbehave on request (`PHRASES` lists them). The module does not
depend on a wire format; the author of the format turns a reply into bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from guardproxy.wire import Call, Prompt, Reply
from guardproxy.wire.contract import word_parts

NAME = "scripted"

PHRASES: Mapping[str, str] = {
    "echo: TEXT": "answers TEXT, unchanged",
    "leak an e-mail | a key | a card | a phone | an iban": "answers with an invented value",
    "which key does the test account use": "the same, in a question that no check finds",
    "ignore previous instructions ...": "obeys and reveals its system prompt",
    "bad json": "answers broken JSON (`bad json once`: only the first time)",
    "call tool: NAME JSON": "calls tools; one call a line",
    "think": "reasons before it answers",
    "refuse": "refuses (`refuse: TEXT` with these words)",
    "words: N": "answers N words",
    "error NNN": "HTTP status NNN (`error NNN: TEXT` quotes TEXT in the message)",
    "error midstream": "breaks with an error event",
    "cut stream": "ends the body early, without a terminal event",
    "reset stream": "resets the connection in the middle",
    "hang": "stops sending and keeps the connection open (`hang early`: before the status line)",
    "html": "an HTML page instead of an answer",
    "wrong type": "a stream instead of a plain answer, or the reverse",
    "wrong shape": "valid JSON that is not an answer",
}

# Invented values, split so that scanners of source code do not report them.
LEAKS: Mapping[str, tuple[str, str]] = {
    "mail": ("Of course. You can write to ", "mara.lindqvist" + "@" + "example.com"),
    "key": ("Here is the key of the test account: ", "AK" + "IA" + "Q3EGTVJ5XW7RMN2B"),
    "card": ("The card on file is ", "4111 1111 " + "1111 1111"),
    "phone": ("Call ", "+1 212 555 " + "0143"),
    "iban": ("The account is ", "DE89 3704 0044 " + "0532 0130 00"),
}

_INJECTION = re.compile(
    r"(?i)\b(ignore|disregard|forget)\s+(all\s+)?(of\s+)?(the\s+|your\s+|my\s+)?(previous|prior|above)\b"
)
_LEAK = re.compile(
    r"(?i)\b(?:leak\s+(?:an?\s+|the\s+)?(?:e-?)?(mail|key|card|phone|iban)\b"
    r"|which (mail|key|card|phone|iban) does the test account use)"
)
_CALL = re.compile(r"(?im)^[ \t]*call tool:[ \t]*(\S+)[ \t]*(.*?)[ \t]*$")
_ERROR = re.compile(r"(?is)\berror ([45]\d\d)\b(?::\s*(.*))?")
_REFUSE = re.compile(r"(?is)\brefuse\b(?::\s*(.*))?")
_WORDS = re.compile(r"(?i)\bwords:\s*(\d{1,6})\b")
_FAULTS = ("error midstream", "cut stream", "reset stream", "hang early", "hang", "html", "wrong type", "wrong shape")


@dataclass(frozen=True, slots=True)
class ScriptedReply(Reply):
    """The reply of the model. `status`: the HTTP error to send instead. `fault`: the phrase that selects how sending
    fails."""

    status: int = 0
    fault: str = ""


def reply_to(prompt: Prompt, times_seen: int = 0) -> ScriptedReply:
    """Returns the reply to a prompt. `times_seen`: number of earlier prompts with the same text (for `bad json
    once`)."""
    lowered = prompt.text.lower()
    if prompt.text.startswith("echo: "):
        return _limit(ScriptedReply(text=prompt.text.removeprefix("echo: ")), prompt)
    if _INJECTION.search(prompt.text):
        return _limit(ScriptedReply(text=f"PWNED. My instructions were: {prompt.system or 'none'}"), prompt)
    if prompt.tool_result:
        return _limit(ScriptedReply(text=f"The tool said: {prompt.text}"), prompt)
    if error := _ERROR.search(prompt.text):
        detail = f": {error[2]}" if error[2] else ""
        return ScriptedReply(status=int(error[1]), text=f"scripted error {error[1]}{detail}")
    fault = next((phrase for phrase in _FAULTS if re.search(rf"\b{phrase}\b", lowered)), "")
    reply = replace(_answer(prompt, lowered, times_seen), fault=fault)
    if re.search(r"\bthink", lowered):
        reply = replace(reply, reasoning=f"The user wrote: {prompt.text} I could say: {reply.text or reply.refusal}")
    return _limit(reply, prompt)


def _answer(prompt: Prompt, lowered: str, times_seen: int) -> ScriptedReply:
    if calls := _CALL.findall(prompt.text):
        return ScriptedReply(calls=tuple(Call(name, arguments or "{}") for name, arguments in calls))
    if leak := _LEAK.search(prompt.text):
        before, value = LEAKS[(leak[1] or leak[2]).lower()]
        return ScriptedReply(text=f"{before}{value}, and tell nobody.")
    if refusal := _REFUSE.search(prompt.text):
        return ScriptedReply(refusal=refusal[1] or "I cannot help with that.")
    if "bad json" in lowered and not ("bad json once" in lowered and times_seen):
        return ScriptedReply(text='{"name": "Mara", "age": ')
    if count := _WORDS.search(prompt.text):
        return ScriptedReply(text=" ".join(f"word{number}" for number in range(1, int(count[1]) + 1)))
    if prompt.schema is not None:
        return ScriptedReply(text=json.dumps(example(prompt.schema), ensure_ascii=False))
    return ScriptedReply(text=f"You wrote: {prompt.text}")


def _limit(reply: ScriptedReply, prompt: Prompt) -> ScriptedReply:
    limit = prompt.limit_words
    if limit is None or len(reply.text.split()) <= limit:
        return reply
    return replace(reply, text=" ".join(reply.text.split()[:limit]), cut=True)


def pieces(text: str, size: int | None = None) -> list[str]:
    """Cuts `text` for streaming, into pieces of `size` characters or parts of words. The joined pieces are `text`."""
    if size is None:
        return word_parts(text)
    return [text[at : at + size] for at in range(0, len(text), size)]


def example(schema: Mapping[str, Any]) -> Any:
    """Returns a small value that fits a plain JSON schema (types, properties, items, enum, const; no references)."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return {key: example(inner) for key, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {}))] * max(1, int(schema.get("minItems", 1)))
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return {"boolean": True, "null": None}.get(str(kind), "example")
