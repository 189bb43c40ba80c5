"""`guardproxy policy explain`: explains the decision on a text."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from guardproxy.cli.policy.arguments import AllowCode, AsJson
from guardproxy.cli.printing import complain, fail, say, say_json, styled
from guardproxy.errors import ErrorCode, PolicyError

if TYPE_CHECKING:
    from rich.text import Text

    from guardproxy.audit.record import RecordedRoute
    from guardproxy.exchange import caching
    from guardproxy.findings import Direction
    from guardproxy.policy.values import RawExchange, RequestFacts
    from guardproxy.policytest import Delivery, Explanation, RuleOutcome, TextFinding
    from guardproxy.wire import Author, Codec

_STYLES = {"decided": "bold green", "held": "green", "shadow": "yellow", "no": "dim"}


def explain(
    text: Annotated[
        str,
        typer.Argument(
            metavar="TEXT",
            help='A text, a request\'s JSON, {"request": ..., "response": ...}, or - for standard input.',
        ),
    ],
    on: Annotated[str, typer.Option(help="request: a text to the model; response: a text from it.")] = "request",
    kind: Annotated[str, typer.Option(help="user, system, assistant, tool_result, tool_arguments, ...")] = "",
    policies: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of policy files, or a shipped policy. Default: default")
    ] = None,
    route: Annotated[
        str, typer.Option(help="The route of a request in JSON.", show_default="that of the first format")
    ] = "",
    model: Annotated[str, typer.Option(help="The model of the request, for `match` and `allow`.")] = "",
    tenant: Annotated[str, typer.Option(help="The tenant of the request, for `match`.")] = "",
    as_json: AsJson = False,
    allow_code: AllowCode = False,
) -> None:
    """Explain the decision on a text: the findings, the rules that hold, the rule that decides, and the time of each
    check.

    Exit code 0: no findings; 1: findings; 2: wrong use.
    """
    from guardproxy.inference import Models, Settings  # noqa: PLC0415
    from guardproxy.library import DISTANT, all_but, loader, only_judges, using  # noqa: PLC0415
    from guardproxy.policy.values import RequestFacts  # noqa: PLC0415
    from guardproxy.policytest import explain as run  # noqa: PLC0415
    from guardproxy.wire import default_route  # noqa: PLC0415

    if text == "-":
        text = sys.stdin.read()
    try:
        lowest = loader(selection=only_judges, code=allow_code)(policies)
        # Without a cache of verdicts, so that the measured time is the time for a new text.
        rules = loader(runtime=Models(settings=Settings(remembered=0)), selection=all_but(DISTANT), code=allow_code)(
            policies
        )
        asked = RequestFacts(route or default_route(), model, tenant, formats=rules.formats)
        scene, facts = _scene(text, on, kind, asked)
        explanation = run(rules, scene, facts, time.perf_counter, lowest=lowest)
    except PolicyError as error:
        fail(str(error))
    far = sorted({name for policy in rules.policies for name in using(policy, DISTANT)})
    if as_json:
        say_json({**_json(explanation), "not_asked": far}, 2)
    else:
        say(*_lines(explanation))
        if explanation.result.error == ErrorCode.MODEL_NOT_ALLOWED and not model and not text.lstrip().startswith("{"):
            complain("the policies allow certain models: name one with --model")
        if far:
            say(styled(("not run, because they use services: ", "dim"), ", ".join(far)))
    raise typer.Exit(1 if explanation.result.findings else 0)


def _scene(text: str, on: str, kind: str, asked: RequestFacts) -> tuple[RawExchange, RequestFacts]:
    """Returns the exchange to explain, and its facts. `asked`: the facts that the command line names."""
    from guardproxy.policy.values import RawExchange  # noqa: PLC0415
    from guardproxy.policytest import kinds_of, scene_of  # noqa: PLC0415

    if on not in ("request", "response"):
        fail("--on is request or response")
    route, model = asked.route, asked.model
    codec = asked.formats.codec_for(route)
    if codec is None:
        known = ", ".join(known for codec in asked.formats.codecs for known in codec.routes)
        fail(f"no wire format for `{route}` (known: {known})")
    exchange = _exchange(text, codec.author) if not kind else None
    if exchange is not None:
        request, answers = exchange
        route, request = (route, request) if not model else _with_model(codec, route, request, model)
        return RawExchange(request, answers), replace(asked, route=route, model="", applies=True)
    body = _body(text, codec.author) if on == "request" and not kind else None
    if body is not None:
        request = body
        if model:
            route, request = _with_model(codec, route, body, model)
        return RawExchange(request), replace(asked, route=route, model="", applies=True)
    kinds = kinds_of(codec, cast("Direction", on))
    if kind and kind not in kinds:
        fail(f"--kind is one of {', '.join(kinds)} on a {on}")
    chosen_kind = next(known_kind for known_kind in kinds if known_kind == (kind or kinds[0]))
    scene = scene_of(text, cast("Direction", on), chosen_kind, codec.author)
    route, request = _with_model(codec, route, scene.request, model)
    return RawExchange(request, scene.answers), replace(asked, route=route, model="", applies=True)


def _with_model(codec: Codec, route: str, body: dict[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """Returns the route and the body of a request for this model."""
    method, _, path = route.partition(" ")
    path, request = codec.turns.with_model(path, body, model)
    return f"{method} {path}" if model else route, request


def _exchange(text: str, author: Author) -> tuple[dict[str, Any], tuple[Any, ...]] | None:
    """Returns the request and the answer of a whole exchange in JSON; `None` if the text is none."""
    try:
        tree = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None
    if not isinstance(tree, dict) or tree.keys() != {"request", "response"} or not author.is_request(tree["request"]):
        return None
    return tree["request"], (tree["response"],)


def _body(text: str, author: Author) -> dict[str, Any] | None:
    """Returns the JSON of a request; `None` if the text is not a request."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(text)
    except ValueError:
        return None
    return tree if author.is_request(tree) else None


def _lines(explanation: Explanation) -> Iterator[Text]:
    from guardproxy.policy.usage import number_words  # noqa: PLC0415

    result = explanation.result
    for text in result.texts:
        if not text.text:
            continue
        yield styled((f"{text.direction} {text.path}", "bold"), f" ({text.kind})")
        yield styled(
            "    ",
            *_with_marks(explanation, text.direction, text.path, text.attempt, text.text),
        )
        for finding in sorted((*result.findings, *result.allowed)):
            if (finding.direction, finding.path, finding.attempt) == (text.direction, text.path, text.attempt):
                where = f"at {finding.start} to {finding.end}, score {finding.score:.2f}"
                quiet = ", allowed" if finding in result.allowed else ""
                yield styled(
                    f"    {finding.check}: ", (finding.label, "dim" if quiet else "yellow"), f" {where}{quiet}"
                )
                yield from (styled(f"        {words}") for words in finding.origins)
    why = f" ({result.trouble})" if result.trouble else ""
    yield styled(("decision", "bold"), f" {result.decision}{why}")
    width = max((len(f"{rule.policy}: {rule.rule}") for rule in explanation.rules), default=0)
    for rule in explanation.rules:
        yield _rule(rule, width)
    for change in result.fields:
        state = "-" if not change.enforced else change.action
        quiet = "" if change.enforced else f"  {change.action}; in shadow mode"
        yield styled((f"    {state:<8}", "dim"), f"{change.policy}: the field {change.place}{quiet}")
    for prompt in result.prompts:
        quiet = "" if prompt.enforced else "; in shadow mode"
        shown = f"{'prompt' if prompt.enforced else '-':<8}"
        yield styled((f"    {shown}", "dim"), f"{prompt.policy}: {prompt.words()}{quiet}")
    if (cache := result.cache) is not None:
        match = cache.match if cache.is_enforced else "-"
        quiet = "" if cache.is_enforced else f"  {cache.match}; in shadow mode"
        shared = {"client": "", "tenant": ", to all clients of the tenant", "all": ", to all clients"}
        what = f"the cache may answer, for {cache.section.ttl_s:g} s{shared[cache.section.scope]}"
        yield styled((f"    {match:<7} ", "dim"), f"{', '.join(cache.policies)}: {what}{quiet}")
    for limit in explanation.limits:
        takes = "its cost" if limit.takes is None else number_words(limit.takes)
        yield styled(("    limit   ", "dim"), f"{limit.words}; this request takes {takes}")
    for key, bound, words in result.explained():
        quiet = "" if bound.enforced else "; in shadow mode"
        yield styled((f"    {key if bound.enforced else '-':<7} ", "dim"), f"{bound.policy}: {words}{quiet}")
    for route in result.routes:
        yield _route(route)
    if explanation.elsewhere:
        yield styled(("policies that do not apply: ", "dim"), ", ".join(explanation.elsewhere))
    yield from _sent("the model sees", result.upstream, "nothing")
    yield from _sent("the client sees", result.client, "nothing: no answer was given")
    yield styled(("checks", "bold"), " (median)")
    for timing in explanation.timings:
        yield styled(f"    {timing.check}  {timing.ms:.2f} ms")


def _with_marks(
    explanation: Explanation, direction: str, path: str, attempt: int, text: str
) -> list[tuple[str, str] | str]:
    from guardproxy.policydiff import excerpt  # noqa: PLC0415

    spans = [
        (finding.start, finding.end, finding.label)
        for finding in explanation.result.findings
        if (finding.direction, finding.path, finding.attempt) == (direction, path, attempt)
    ]
    pieces = excerpt(text, spans, around=200)
    return [(f"«{piece.text}»", "bold yellow") if piece.mark else piece.text for piece in pieces]


def _rule(rule: RuleOutcome, width: int) -> Text:
    name = f"{rule.policy}: {rule.rule}".ljust(width)
    state = "-" if rule.state == "no" else rule.state
    return styled((f"    {state:<8}", _STYLES[rule.state]), f"{name}  {rule.action:<7} {rule.why}")


def _route(route: RecordedRoute) -> Text:
    places = [f"{route.upstream or '-'} {route.model}".rstrip(), *route.next]
    why = ", ".join(f"{name} {count}" for name, count in route.measures.items())
    simple = f"; {'simple' if route.simple else 'not simple'} ({why})" if route.measures else ""
    state = "routed" if route.mode == "enforce" else "-"
    quiet = "" if route.mode == "enforce" else "; in shadow mode"
    return styled((f"    {state:<8}", "green"), f"{route.policy}: to {', then '.join(places)}{simple}{quiet}")


def _sent(who: str, shown: Delivery | None, nothing: str) -> Iterator[Text]:
    if shown is None:
        yield styled((who, "bold"), f" {nothing}")
        return
    yield styled((who, "bold"))
    for path, text in shown.texts:
        if text:
            yield styled((f"    {path}: ", "dim"), text)


def _json(explanation: Explanation) -> dict[str, Any]:
    from guardproxy.policy.sections import JUDGE  # noqa: PLC0415

    result = explanation.result
    return {
        "decision": result.decision,
        "trouble": result.trouble,
        "policies": list(explanation.policies),
        "elsewhere": list(explanation.elsewhere),
        "findings": list(map(_finding, result.findings)),
        "allowed": list(map(_finding, result.allowed)),
        "rules": [
            {key: getattr(rule, key) for key in ("policy", "rule", "action", "state", "why")}
            for rule in explanation.rules
        ],
        "fields": [
            {"field": change.place, "action": change.action, "policy": change.policy, "enforced": change.enforced}
            for change in result.fields
        ],
        "prompts": [
            {"policy": prompt.policy, "enforced": prompt.enforced, "parts": list(prompt.parts), "texts": prompt.texts}
            for prompt in result.prompts
        ],
        "cache": None if result.cache is None else _cache(result.cache),
        "limits": [
            {key: getattr(limit, key) for key in ("policy", "limit", "unit", "takes", "mode", "words")}
            for limit in explanation.limits
        ],
        "judges": [
            {
                "policy": judge.policy,
                "upstream": judge.value.upstream,
                "model": judge.value.model,
                "percent": judge.value.sample / 10_000,
                "enforced": judge.enforced,
            }
            for judge in JUDGE.bound(result.sections)
        ],
        "sections": [
            {"section": key, "policy": bound.policy, "enforced": bound.enforced, "words": words}
            for key, bound, words in result.explained()
        ],
        "routes": [route.document() for route in result.routes],
        "model_sees": None if result.upstream is None else dict(result.upstream.texts),
        "client_sees": None if result.client is None else dict(result.client.texts),
        "checks": [
            {"check": timing.check, "ms": round(timing.ms, 3), "texts": timing.texts} for timing in explanation.timings
        ],
    }


def _finding(finding: TextFinding) -> dict[str, Any]:
    keys = ("direction", "path", "kind", "check", "label", "start", "end")
    return {
        **{key: getattr(finding, key) for key in keys},
        "score": round(finding.score, 4),
        "text": finding.text,
        **({"origins": list(finding.origins)} if finding.origins else {}),
    }


def _cache(cache: caching.CacheQuery) -> dict[str, Any]:
    return {
        "match": cache.match,
        "ttl_s": cache.section.ttl_s,
        "scope": cache.section.scope,
        "policies": list(cache.policies),
        "enforced": cache.is_enforced,
    }
