"""A moderation endpoint of OpenAI's shape, whose verdicts are those of the policies: `POST /v1/moderations`.

In: a text, a list of texts, or the parts of a message. Out: a result for each text, or one for all parts. A category is the
id of a rule for texts of a user. An input is flagged if a rule that is enforced would change, block or retry it; a rule that
only flags sets its category and not `flagged`.

What a policy refuses without a rule, such as an image that no check can read, flags every input, with the code of the error
as its category."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.adapters import chat
from guardproxy.adapters.contract import Adapter, AdapterCall, AdapterVerdict, FiredRule
from guardproxy.errors import DownstreamError, ErrorCode

ROUTE = "POST /v1/moderations"
MODEL = "guardproxy"
_MESSAGE = re.compile(r"messages\[(\d+)\]")


class Moderations(Adapter):
    """A moderation endpoint."""

    name = "moderations"
    routes = (ROUTE,)

    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        tree = chat.object_of(tree, "the body")
        inputs = tree.get("input")
        if isinstance(inputs, str):
            inputs = [inputs]
        if not isinstance(inputs, list) or not inputs:
            raise chat.wrong_type("input", "a text, or a list of texts or of parts")
        if all(isinstance(item, str) for item in inputs):
            contents = inputs
        elif all(isinstance(item, dict) for item in inputs):
            contents = [inputs]
        else:
            raise DownstreamError(ErrorCode.INVALID_TYPE, "`input` must hold texts or parts, not both", "input")
        unknown = {name: value for name, value in tree.items() if name not in ("input", "model")}
        more = {"moderation_unknown": unknown} if unknown else {}
        request = chat.request_of(
            [chat.user(content) for content in contents], model=chat.text_of(tree.get("model"), "model"), **more
        )
        return AdapterCall(request=request, given=len(contents))

    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        shared: list[FiredRule] = []
        own: list[list[FiredRule]] = [[] for _ in range(call.given)]
        for rule in verdict.rules:
            number = _MESSAGE.match(rule.path)
            (own[int(number[1])] if number else shared).append(rule)
        is_refused = verdict.is_blocked and not any(rule.acts for rule in verdict.rules)
        code = verdict.code if is_refused else ""
        results = [_result([*shared, *rules], verdict.names, code) for rules in own]
        return {"id": f"modr-{verdict.id}", "model": MODEL, "results": results}

    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        return ROUTE, {"input": text, "model": "scripted"}

    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        return None

    def told(self, answer: Any, text: str) -> str | None:
        return None if answer["results"][0]["flagged"] else text


def _result(rules: list[FiredRule], names: tuple[str, ...], code: str) -> dict[str, Any]:
    """The result of one input. `code`: why the call is refused without a rule; empty if it is not."""
    scores = dict.fromkeys(names, 0.0)
    for rule in rules:
        scores[rule.rule] = max(scores.get(rule.rule, 0.0), rule.score)
    held = {rule.rule for rule in rules}
    if code:
        scores[code], held = 1.0, {*held, code}
    return {
        "flagged": bool(code) or any(rule.acts for rule in rules),
        "categories": {name: name in held for name in scores},
        "category_scores": scores,
        "category_applied_input_types": {name: ["image"] if name == code else ["text"] for name in scores},
    }
