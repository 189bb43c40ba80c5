"""What a judge is asked about an exchange. Pure: the server asks (`server/driving/asking`).

In: the section `judge` of a policy, and a record. Out: a question. The judge reads texts as the record keeps them, so with
placeholders for redacted values. They come as one JSON text, put as every text that a model judges (`checks/_shared/asking`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedText
from guardproxy.checks import JudgeQuestion
from guardproxy.policy import BoundRules
from guardproxy.policy.sections import JUDGE, BoundSection, JudgeSection
from guardproxy.wire import installed

_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "tool_result": "tool"}
_CUT = " [...]"
_ABOUT = (
    "The text is a JSON object: `conversation`, and `answer`, the answer of another model to it. Judge the answer, by a score "
    "from {low} to {high}. Give the reason first."
)
_COMPARE = (
    "The text is a JSON object: `conversation`, and `first` and `second`, the answers of two models to it. Say which answer is "
    "better by these instructions, whatever its place and its length. Give the reason first."
)
ORDERS = ("first", "second", "equal")
"""What a judge says of two answers."""
_MESSAGE = re.compile(r"[^\[]*\[\d+\]")  # the list and the number of a message, at the beginning of a path


def judges_of(record: Record, bound: BoundRules) -> Iterable[BoundSection[JudgeSection]]:
    """Returns the sections whose judges are to be asked about a record."""
    asked = {judge.policy for judge in record.judges if judge.mode == "enforce"}
    return [section for section in JUDGE.bound(bound.sections) if section.policy in asked]


def texts_of(record: Record) -> tuple[list[tuple[str, str]], str] | None:
    """Returns the messages of the request, each with its role, and the answer, or the first of several alternative answers;
    `None` if the record does not keep them."""
    messages: list[tuple[str, list[str]]] = []
    place = ""
    for text in record.request.texts:
        if (role := _ROLES.get(text.kind)) is None or text.span is not None:  # an excerpt repeats another text
            continue
        if text.text is None:
            return None
        found = _MESSAGE.match(text.path)
        here = found[0] if found else text.path
        if messages and here == place and messages[-1][0] == role:
            messages[-1][1].append(text.text)
        else:
            messages.append((role, [text.text]))
        place = here
    answer = [text.text for text in _first_answer(record)]
    parts = [text for text in answer if text is not None]
    if not parts or len(parts) < len(answer):
        return None
    return [(role, "\n".join(texts)) for role, texts in messages], "".join(parts)


def _first_answer(record: Record) -> list[RecordedText]:
    texts = [text for text in record.response.texts if text.kind == "assistant"]
    codec = installed().codec_for(record.route)
    if not texts or codec is None:
        return texts
    first = codec.contract.choice_of(texts[0].path)
    return [text for text in texts if codec.contract.choice_of(text.path) == first]


def judge_question(
    section: JudgeSection, conversation: Sequence[tuple[str, str]], answer: str, exchange: str
) -> JudgeQuestion:
    """Returns the question about an answer. Of a long exchange it holds the answer and the end of the conversation.
    `exchange`: its id."""
    left = section.max_chars
    shown = _cut(answer, left)
    messages = _end_of(conversation, left - len(shown))
    material = json.dumps({"conversation": messages, "answer": shown}, ensure_ascii=False)
    rubric = f"{section.rubric}\n\n{_ABOUT.format(low=section.low, high=section.high)}"
    return JudgeQuestion.scored(rubric, section.low, section.high, material, (exchange,))


def comparison_question(
    section: JudgeSection, conversation: Sequence[tuple[str, str]], answers: tuple[str, str], exchange: str
) -> JudgeQuestion:
    """Returns the question which of two answers is better. It does not tell whose they are. `exchange`: its id."""
    left = section.max_chars
    shown = [_cut(answer, left // 2) for answer in answers]
    messages = _end_of(conversation, left - sum(map(len, shown)))
    material = json.dumps({"conversation": messages, "first": shown[0], "second": shown[1]}, ensure_ascii=False)
    return JudgeQuestion.chosen(f"{section.rubric}\n\n{_COMPARE}", ORDERS, material, (exchange, "compare"))


def _end_of(conversation: Sequence[tuple[str, str]], left: int) -> list[dict[str, str]]:
    """The last messages, in `left` characters."""
    messages: list[dict[str, str]] = []
    for role, text in reversed(conversation):
        if left <= 0:
            break
        part = _cut(text, left)
        left -= len(part)
        messages.append({"role": role, "content": part})
    return messages[::-1]


def _cut(text: str, limit: int) -> str:
    """Returns a text of at most `limit` characters, without halves of surrogate pairs, which no JSON in UTF-8 holds."""
    part = text if len(text) <= limit else (text[: max(0, limit - len(_CUT))] + _CUT)[:limit]
    return part.encode("utf-8", "replace").decode()
