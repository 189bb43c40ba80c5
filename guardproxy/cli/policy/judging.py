"""`guardproxy policy test --judge`: asks the judges of policies about labelled cases, and compares scores with labels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardproxy.cli.printing import complain, progress_console, say, say_json, styled
from guardproxy.errors import ConfigError, GuardproxyError, PolicyError

if TYPE_CHECKING:
    from rich.text import Text

    from guardproxy.policy.sections import JudgeSection
    from guardproxy.policytest import Agreement, LabelledCase, Rate

    Judge = tuple[str, JudgeSection]

Score = int | str
"""A score, or why there is none."""


def run_judges(folders: Sequence[Path], cases: Path, upstreams: Sequence[str], least: float, *, as_json: bool) -> int:
    """Prints the agreement of each judge with the labels. Returns the exit code: 0 if every kappa is at least `least`, 1 if
    not, 2 for wrong use."""
    from guardproxy.policytest import agreement_of  # noqa: PLC0415

    try:
        judges, labelled = _judges(folders), _cases(cases)
        scores = asyncio.run(_ask(judges, labelled, upstreams))
    except GuardproxyError as error:
        complain(error)
        return 2
    documents: list[dict[str, Any]] = []
    is_fine = True
    for (policy, section), of_judge in zip(judges, scores, strict=True):
        verdicts = [None if isinstance(score, str) else score >= section.least for score in of_judge]
        found = agreement_of(zip((case.is_good for case in labelled), verdicts, strict=True))
        is_fine &= found.kappa.share is not None and found.kappa.share >= least
        differing = [
            {"case": case.name, "good": case.is_good, "score": score}
            for case, score, verdict in zip(labelled, of_judge, verdicts, strict=True)
            if verdict != case.is_good
        ]
        documents.append({"policy": policy, "model": section.model, **asdict(found), "differing": differing})
        if not as_json:
            say(*_lines(policy, section, found, differing))
    if as_json:
        say_json({"ok": is_fine, "least": least, "judges": documents}, 2)
    return 0 if is_fine else 1


def _judges(folders: Sequence[Path]) -> list[Judge]:
    from guardproxy.library import read_policies  # noqa: PLC0415
    from guardproxy.policy.sections import JUDGE  # noqa: PLC0415

    policies = [policy for folder in folders for policy in read_policies(folder)[0]]
    found = [
        (policy.name, section)
        for policy in policies
        if not policy.tenant and (section := JUDGE.of(policy.sections)) is not None
    ]
    if not found:
        raise ConfigError("no policy has a section `judge`")
    return found


def _cases(path: Path) -> list[LabelledCase]:
    from guardproxy.policytest import read_cases  # noqa: PLC0415

    try:
        with path.open(encoding="utf-8") as lines:
            cases = list(read_cases(lines, str(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if not cases:
        raise PolicyError("the file holds no case", str(path))
    return cases


async def _ask(judges: Sequence[Judge], cases: Sequence[LabelledCase], upstreams: Sequence[str]) -> list[list[Score]]:
    """Returns the score of each case by each judge."""
    from rich.progress import Progress  # noqa: PLC0415

    from guardproxy.config import load  # noqa: PLC0415
    from guardproxy.server import LIMIT_AT_ONCE, Asking, AskingError, asking, score_of  # noqa: PLC0415

    config = load({"upstream": list(upstreams) or None})
    for _, section in judges:
        if section.upstream not in config.upstreams.named:
            raise ConfigError(
                f"the judge asks the upstream `{section.upstream}`: give --upstream {section.upstream}=URL"
            )
    turns = asyncio.Semaphore(LIMIT_AT_ONCE)

    async def score(asked: Asking, section: JudgeSection, case: LabelledCase) -> Score:
        async with turns:
            try:
                given: Score = (await score_of(asked, section, case.conversation, case.answer, case.name))[0]
            except AskingError as error:
                given = str(error)
        progress.advance(task)
        return given

    with Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task("judging", total=len(judges) * len(cases))
        async with asking(config) as asked:
            return [
                list(await asyncio.gather(*(score(asked, section, case) for case in cases))) for _, section in judges
            ]


def _lines(policy: str, section: JudgeSection, found: Agreement, differing: Sequence[dict[str, Any]]) -> Iterator[Text]:
    yield styled((policy, "bold"), f": {section.model}, a score of {section.least} or more is good")
    rates = (
        ("kappa", found.kappa),
        ("agreement_of", found.agreed),
        ("good answers called good (TPR)", found.true_positive),
        ("bad answers called bad (TNR)", found.true_negative),
    )
    for name, rate in rates:
        yield styled(f"    {name:<31} {_rate(rate)}")
    if found.failed:
        yield styled((f"    no score for {found.failed} cases", "yellow"))
    for case in differing:
        label = "good" if case["good"] else "bad"
        yield styled(("    differs", "yellow"), f"  {case['case']}: labelled {label}, score {case['score']}")


def _rate(rate: Rate) -> str:
    if rate.share is None:
        return f"not defined ({rate.of} cases)"
    return f"{rate.share:.2f}  ({rate.low:.2f} to {rate.high:.2f}, {rate.of} cases)"
