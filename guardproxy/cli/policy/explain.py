"""`guardproxy policy explain`: why a text is treated as it is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from guardproxy.cli.policy.arguments import AllowCode, AsJson
from guardproxy.cli.printing import console, plain, styled
from guardproxy.errors import PolicyError

if TYPE_CHECKING:
    from rich.text import Text

    from guardproxy.findings import Direction
    from guardproxy.policy import Told, Written
    from guardproxy.policytest import Delivery, Explanation, RuleOutcome
    from guardproxy.wire import Author

_STYLES = {"decided": "bold green", "held": "green", "shadow": "yellow", "no": "dim"}


def explain(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text, a request's JSON, or - for standard input.")],
    on: Annotated[str, typer.Option(help="request: on its way to the model; response: on its way back.")] = "request",
    kind: Annotated[str, typer.Option(help="user, system, assistant, tool_result, tool_arguments, ...")] = "",
    policies: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder of policy files, or a shipped policy. Default: default")
    ] = None,
    route: Annotated[str, typer.Option(help="Of a request's JSON.")] = "POST /v1/chat/completions",
    model: Annotated[str, typer.Option(help="The model that is asked, for `match`.")] = "",
    tenant: Annotated[str, typer.Option(help="Who asks, for `match`.")] = "",
    as_json: AsJson = False,
    allow_code: AllowCode = False,
) -> None:
    """Say what each check finds in a text, which rules hold, which decides, why the others do not, and what each check costs.

    Exit code 0: nothing was found; 1: something was; 2: wrong use.
    """
    from guardproxy.inference import Models, Settings  # noqa: PLC0415
    from guardproxy.library import DISTANT, judges_alone, leaving_out, loader, using  # noqa: PLC0415
    from guardproxy.policytest import explain as run  # noqa: PLC0415

    if text == "-":
        text = sys.stdin.read()
    scene, told = _scene(text, on, kind, route, model, tenant)
    try:
        lowest = loader(asked=judges_alone, code=allow_code)(policies)
        # Nothing is remembered: what a check costs is what it costs for a text that is new.
        rules = loader(runtime=Models(settings=Settings(remembered=0)), asked=leaving_out(DISTANT), code=allow_code)(
            policies
        )
        explained = run(rules, scene, told, time.perf_counter, lowest=lowest)
    except PolicyError as error:
        _wrong_use(str(error))
    far = sorted({name for policy in rules.policies for name in using(policy, DISTANT)})
    if as_json:
        typer.echo(json.dumps({**_json(explained), "not_asked": far}, indent=2))
    else:
        out = console()
        for line in _lines(explained):
            out.print(line)
        if far:
            out.print(styled(("not asked, as they are services: ", "dim"), ", ".join(far)))
    raise typer.Exit(1 if explained.result.findings else 0)


def _wrong_use(message: str) -> NoReturn:
    typer.echo(f"guardproxy: {message}", err=True)
    raise typer.Exit(2)


def _scene(text: str, on: str, kind: str, route: str, model: str, tenant: str) -> tuple[Written, Told]:
    from guardproxy.policy import Told, Written  # noqa: PLC0415
    from guardproxy.policytest import kinds_of, scene_of  # noqa: PLC0415
    from guardproxy.wire import codec_for, codecs  # noqa: PLC0415

    if on not in ("request", "response"):
        _wrong_use("--on is request or response")
    codec = codec_for(route)
    if codec is None:
        _wrong_use(
            f"no wire format for `{route}` (known: {', '.join(one for each in codecs() for one in each.routes)})"
        )
    body = _body(text, codec.author) if on == "request" and not kind else None
    if body is not None:
        request = codec.turns.with_model(body, model) if model else body
        return Written(request), Told(route, "", tenant, applies=True)
    kinds = kinds_of(codec, cast("Direction", on))
    if kind and kind not in kinds:
        _wrong_use(f"--kind is one of {', '.join(kinds)} on a {on}")
    chosen = next(one for one in kinds if one == (kind or kinds[0]))
    scene = scene_of(text, cast("Direction", on), chosen, codec.author)
    return Written(codec.turns.with_model(scene.request, model), scene.answers), Told(route, "", tenant, applies=True)


def _body(text: str, author: Author) -> dict[str, Any] | None:
    """A request's JSON, where the text is one."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(text)
    except ValueError:
        return None
    return tree if author.is_request(tree) else None


def _lines(explained: Explanation) -> Iterator[Text]:
    result = explained.result
    for read in result.texts:
        if not read.text:
            continue
        yield styled((f"{read.direction} {plain(read.path)}", "bold"), f" ({read.kind})")
        yield styled("    ", *_marked(explained, read.direction, read.path, read.attempt, read.text))
        for one in result.findings:
            if (one.direction, one.path, one.attempt) == (read.direction, read.path, read.attempt):
                where = f"at {one.start} to {one.end}, score {one.score:.2f}"
                yield styled(f"    {one.check}: ", (one.label, "yellow"), f" {where}")
    why = f" ({plain(result.trouble)})" if result.trouble else ""
    yield styled(("decision", "bold"), f" {result.decision}{why}")
    width = max((len(f"{one.policy}: {one.rule}") for one in explained.rules), default=0)
    for rule in explained.rules:
        yield _rule(rule, width)
    if explained.elsewhere:
        yield styled(("for other requests: ", "dim"), ", ".join(explained.elsewhere))
    yield from _sent("the model sees", result.upstream)
    yield from _sent("the client sees", result.client)
    yield styled(("checks", "bold"), " (median)")
    for timed in explained.timings:
        yield styled(f"    {timed.check}  {timed.ms:.2f} ms")


def _marked(explained: Explanation, direction: str, path: str, attempt: int, text: str) -> list[tuple[str, str] | str]:
    from guardproxy.policydiff import excerpt  # noqa: PLC0415

    spans = [
        (one.start, one.end, one.label)
        for one in explained.result.findings
        if (one.direction, one.path, one.attempt) == (direction, path, attempt)
    ]
    pieces = excerpt(text, spans, around=200)
    return [(f"«{plain(piece.text)}»", "bold yellow") if piece.mark else plain(piece.text) for piece in pieces]


def _rule(one: RuleOutcome, width: int) -> Text:
    name = f"{one.policy}: {one.rule}".ljust(width)
    state = "-" if one.state == "no" else one.state
    return styled((f"    {state:<8}", _STYLES[one.state]), f"{name}  {one.action:<7} {plain(one.why)}")


def _sent(who: str, shown: Delivery | None) -> Iterator[Text]:
    if shown is None:
        yield styled((who, "bold"), " nothing")
        return
    yield styled((who, "bold"))
    for path, text in shown.texts:
        if text:
            yield styled((f"    {plain(path)}: ", "dim"), plain(text))


def _json(explained: Explanation) -> dict[str, Any]:
    result = explained.result
    return {
        "decision": result.decision,
        "trouble": result.trouble,
        "policies": list(explained.policies),
        "elsewhere": list(explained.elsewhere),
        "findings": [
            {
                **{key: getattr(one, key) for key in ("direction", "path", "kind", "check", "label", "start", "end")},
                "score": round(one.score, 4),
                "text": one.text,
            }
            for one in result.findings
        ],
        "rules": [
            {key: getattr(one, key) for key in ("policy", "rule", "action", "state", "why")} for one in explained.rules
        ],
        "model_sees": None if result.upstream is None else dict(result.upstream.texts),
        "client_sees": None if result.client is None else dict(result.client.texts),
        "checks": [{"check": one.check, "ms": round(one.ms, 3), "texts": one.texts} for one in explained.timings],
    }
