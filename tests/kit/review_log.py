"""A log for tests of the page Review: exchanges of a real policy, with texts, in which real rules held."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from guardproxy.audit import Record
from guardproxy.exchange import (
    DataReceived,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    State,
    each,
    play,
)
from guardproxy.policy import PolicySet
from guardproxy.policy.values import Policy, RawExchange, RequestFacts, Texts
from guardproxy.policytest.playing import _exchange
from guardproxy.policytest.running import by_itself
from guardproxy.policytest.scan import scan_job
from guardproxy.policytest.scenes import Cuts, answer_of, request_of
from tests.kit.logs import write_log
from tests.kit.play import policy_set
from tests.kit.records import through_log

SHIPPED = Path(__file__).parents[2] / "policies"
POLICY = """\
policy: desk
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS, CREDIT_CARD]}   # the usual
  rivals: {use: words, words: [Globex]}
rules:
  - {id: no-mail, on: request, when: pii, action: redact}
  # soon
  - {id: no-rivals, on: request, when: rivals, action: block, mode: shadow}
"""
TEXTS = (
    "Write to jane.roe@example.com, please.",
    "What does Globex sell?",
    "How tall is the tower?",
    "My card 4111 1111 1111 1111 was charged by Globex.",
)
ANSWER = Texts(None, ("Fine, thank you.",))


def recorded(
    policies: PolicySet, policy: Policy, scene: Texts | RawExchange, facts: RequestFacts | None = None
) -> Record:
    """The record of a scene under a policy alone, as a log holds it. An upstream that is asked gives a plain answer."""
    facts = facts or RequestFacts(formats=policies.formats)
    exchange, _ = _exchange(by_itself(policies, policy, facts), facts)
    done = play(exchange, [RequestReceived(request_of(scene, facts, False))], each(scan_job))
    number = 0
    while exchange.state in (State.WAITING, State.HOLDING):
        answer = answer_of(scene, facts, Cuts(), number, str) or answer_of(ANSWER, facts, Cuts(), 0, str)
        assert answer is not None
        number += 1
        inputs: list[Input] = [
            ResponseStarted(answer.status, answer.media),
            *map(DataReceived, answer.pieces),
            ResponseEnded(),
        ]
        done += play(exchange, inputs, each(scan_job))
    last = done[-1]
    assert isinstance(last, Finish)
    return through_log(last.record)


def write_review_log(
    folder: Path, count: int = 8, texts: Sequence[str] = TEXTS, beside: Sequence[str] = ()
) -> tuple[Path, Path, list[Record]]:
    """Writes `count` exchanges of the last days, and their policies. `beside`: further policies, which do not apply. Returns
    the folder of the log, that of the policies, and the records, the oldest first."""
    policies = policy_set(POLICY, *beside)
    base = [recorded(policies, policies.policies[0], Texts(text)) for text in texts]
    now_s = time.time()
    records = [
        replace(base[at % len(base)], id=f"x{at}", at=now_s - 86_400 + at, tenant_name="acme", model="gpt-5")
        for at in range(count)
    ]
    write_log(folder / "audit", "audit-0", *records)
    (folder / "policies").mkdir()
    for policy, text in zip(policies.policies, (POLICY, *beside), strict=True):
        (folder / "policies" / f"{policy.name}.yaml").write_text(text, "utf-8")
    return folder / "audit", folder / "policies", records


def shipped(name: str, folder: Path) -> Path:
    """Copies a shipped policy into a folder."""
    source = SHIPPED / name if (SHIPPED / name).is_dir() else SHIPPED / f"{name}.yaml"
    if source.is_dir():
        shutil.copytree(source, folder / name)
        return folder / name
    (folder / name).mkdir()
    shutil.copy(source, folder / name)
    return folder / name
