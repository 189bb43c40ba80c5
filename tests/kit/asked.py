"""Models at upstreams that checks ask, without a network: what they are asked, and what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from guardproxy.checks._shared.asking.question import JudgeQuestion
from guardproxy.checks._shared.declared.contract import AskedModel, Resources
from guardproxy.checks.llm import QuestionOutcome
from guardproxy.errors import Shortage
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse

Judge = Callable[[str], Any]
"""Returns the answer about a text; a `Shortage` or a word for a failure instead of one."""


def text_in(question: JudgeQuestion) -> str:
    """The text between the lines of a question."""
    fence, rest = question.text.split("\n", 1)
    return rest[: rest.rindex(f"\n{fence}\n")]


def answer(question: JudgeQuestion, value: Any, **more: Any) -> str:
    """What a model says that gives an answer."""
    return json.dumps({"code": question.code, "answer": value, **more})


def asked_about(said: str) -> tuple[str, str]:
    """The code and the text of a question, as a model reads them. `said`: its message."""
    code = re.findall(r"the word ([0-9a-f]{16})", said)[-1]
    fence, rest = said.split("\n", 1)
    return code, rest[: rest.rindex(f"\n{fence}\n")]


class FakeModels:
    """Gives each check a model that answers as `judge` says. `texts`: about which texts it was asked."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.built: list[AskedModel] = []
        self.texts: list[str] = []

    def __call__(self, model: AskedModel) -> FakeModels:
        self.built.append(model)
        return self

    def submit(self, queries: Sequence[JudgeQuestion]) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result([self._outcome(question) for question in queries])
        return future

    def _outcome(self, question: JudgeQuestion) -> QuestionOutcome:
        text = text_in(question)
        self.texts.append(text)
        value = self._judge(text)
        if isinstance(value, Shortage):
            return QuestionOutcome(failure="timeout", shortage=value, ms=5.0)
        given = question.read(answer(question, value))
        return QuestionOutcome(given, "" if given else "no_answer", None, (30, 5), 7, 5.0)


def policies_asking(models: FakeModels | None, *texts: str) -> PolicySet:
    """Policies whose checks ask these models."""
    parsed = tuple(parse(text, f"policy{number}.yaml") for number, text in enumerate(texts))
    return PolicySet(parsed, build_checks(parsed, Resources(asking=models)), "sha256:asking")
