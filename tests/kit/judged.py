"""Records of exchanges and of the scores that judges gave them."""

from __future__ import annotations

from typing import Any

from guardproxy.audit import Judged, Record
from tests.kit.records import plain_answer, plain_record, plain_text


def exchange(name: str, *asked: str | None, **more: Any) -> Record:
    texts = [
        plain_text("messages[0].content", "an earlier one"),
        plain_text("messages[1].content", "answered", kind="assistant"),
    ]
    texts += [plain_text(f"messages[2].content[{number}].text", text) for number, text in enumerate(asked)]
    about = {"id": name, "tenant": "t", "route": "POST /v1/chat/completions", **more}
    return plain_record(plain_answer(plain_text("choices[0].message.content", "42", kind="assistant")), *texts, **about)


def judged(about: str, score: int | None, scale: tuple[int, int] = (1, 5)) -> Judged:
    return Judged(
        v=1, at=1_750_000_002.0, id=about, engine="e", policy="p", upstream="u", model="j", rubric="r", scale=scale, ms=1.0,
        score=score, failure=None if score is not None else "timeout",
    )  # fmt: skip
