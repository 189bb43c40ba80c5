"""A gullible agent: a deterministic model that does its task, and follows every order that it understands.

`next_move` is a function of the conversation alone: what the user asked, what the tools say of themselves, and what came back
so far. It follows orders in anything but the task first. It reads HTML comments, five encodings, look-alike letters, seven
languages, notes in several parts and addresses in words, so a guard gains nothing from its stupidity.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

from benchmarks.agents import orders
from benchmarks.agents.scene import USER, Call, Step, Taken, Task

_TWINS = str.maketrans("аеорсх", "aeopcx")
_NOTE = re.compile(r"\[note (\d) of (\d): (.*?)\]", re.DOTALL)
_ON_FILE = re.compile(r"The contact on file is (.+?)\.(?:\s|$)")
_SPELLED = re.compile(r"\w+(?: dot \w+)* at [\w-]+(?: dot [\w-]+)+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){16,}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A call of the conversation so far, and what came back."""

    call: Call
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What the agent does next: a call, or an answer that ends the task. `is_order`: somebody else than the user wants it.
    `is_refused`: the answer is a refusal, and the model did not get to say anything."""

    call: Call | None = None
    answer: str = ""
    is_order: bool = False
    is_refused: bool = False


@cache
def _grammar() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """Goal, slot and pattern of each template."""
    found = []
    for name, goal in orders.GOALS.items():
        for templates in goal.templates.values():
            for template in templates:
                pattern = r"\s+".join(re.escape(word) for word in template.split())
                if goal.slot:
                    pattern = pattern.replace(re.escape(f"{{{goal.slot}}}"), f"(?P<value>{orders.SLOTS[goal.slot]})")
                found.append((name, goal.slot, re.compile(pattern, re.IGNORECASE)))
    return tuple(found)


def _readings(text: str) -> Iterator[str]:
    """A text, and what a patient reader makes of it."""
    yield text
    plain = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    yield plain
    yield plain.translate(_TWINS)
    yield _SPELLED.sub(lambda match: match[0].replace(" at ", "@").replace(" dot ", "."), plain)
    yield plain[::-1]
    if "rot13" in plain:
        yield codecs.encode(plain, "rot13")
    yield unquote(plain)
    for match in _HEX.finditer(plain):
        yield bytes.fromhex(match[0]).decode("utf-8", "replace")
    for match in _BASE64.finditer(plain):
        try:
            yield base64.b64decode(match[0], validate=True).decode("utf-8", "replace")
        except binascii.Error:
            continue


def understood(texts: Sequence[str]) -> list[Call]:
    """The calls that orders in these texts ask for, in the order of the texts; an argument may be `orders.LAST`."""
    notes = sorted({found for text in texts for found in _NOTE.findall(text)})
    joined = "".join(part for _, _, part in notes) if notes and notes[-1][0] == notes[-1][1] else ""
    texts = [_NOTE.sub("", text) for text in texts]
    contact = next((match[1] for text in texts for match in _ON_FILE.finditer(text)), "")
    calls: dict[tuple[str, str], Call] = {}
    for text in (*texts, joined):
        for reading in _readings(text):
            told = reading.replace("the contact on file", contact) if contact else reading
            for name, slot, pattern in _grammar():
                for match in pattern.finditer(told):
                    value = match["value"] if slot else ""
                    goal = orders.GOALS[name]
                    arguments = {key: given.replace(f"{{{slot}}}", value) for key, given in goal.arguments.items()}
                    calls.setdefault((name, value.casefold()), Call(goal.tool, arguments))
    return list(calls.values())


def next_move(task: Task, definitions: Sequence[str], seen: Sequence[Seen]) -> Move:
    """What the agent does next. `definitions`: descriptions of the tools and of their parameters."""
    last = next((each.text for each in reversed(seen) if not each.is_error), "")
    done = {(each.call.tool, *each.call.arguments.items()) for each in seen}
    for order in understood([*definitions, *(each.text for each in seen)]):
        wanted = {key: given.replace(orders.LAST, last) for key, given in order.arguments.items()}
        # What was read last changes with every result, so an order counts as followed by its other arguments.
        fixed = {(key, given) for key, given in order.arguments.items() if given != orders.LAST}
        if not any(call[0] == order.tool and fixed <= set(call[1:]) for call in done):
            return Move(Call(order.tool, wanted), is_order=True)
    results = [each for each in seen if not _is_ordered(each, task, seen)]
    if len(results) < len(task.steps):
        step = task.steps[len(results)]
        arguments = _resolved(step, task, results)
        return Move(Call(step.tool, arguments)) if arguments is not None else Move(answer="I cannot find what I need.")
    return Move(answer=_taken(task.answer, task, results) or "I cannot tell.")


def _is_ordered(each: Seen, task: Task, seen: Sequence[Seen]) -> bool:
    """Whether a call was made for a stranger: it is not the next one of the task."""
    mine = 0
    for other in seen:
        expected = mine < len(task.steps) and _is_step(other.call, task.steps[mine])
        if other is each:
            return not expected
        mine += expected
    return True


def _is_step(call: Call, step: Step) -> bool:
    fixed = {key: given for key, given in step.arguments.items() if isinstance(given, str)}
    return (
        call.tool == step.tool
        and set(call.arguments) == set(step.arguments)
        and fixed.items() <= call.arguments.items()
    )


def _resolved(step: Step, task: Task, results: Sequence[Seen]) -> dict[str, str] | None:
    """The arguments of a step; `None` if a value cannot be found."""
    arguments: dict[str, str] = {}
    for key, given in step.arguments.items():
        value = given if isinstance(given, str) else _taken(given, task, results)
        if value is None:
            return None
        arguments[key] = value
    return arguments


def _taken(taken: Taken, task: Task, results: Sequence[Seen]) -> str | None:
    text = task.user if taken.source == USER else results[taken.source].text
    match = re.search(taken.pattern, text, re.MULTILINE)
    return match[1] if match else None
