"""A small folder of policies for the page Policies, and recorded exchanges under it."""

from __future__ import annotations

from pathlib import Path

from guardproxy.audit import Record
from guardproxy.exchange import (
    Address,
    DataReceived,
    Exchange,
    Finish,
    Input,
    Keys,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    Setting,
    each,
    play,
    unsealed,
)
from guardproxy.library import DISTANT, all_but, loader
from guardproxy.policytest import scan_job
from guardproxy.wire import codecs

POLICY = r"""policy: shop
description: No mail leaves.
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  bad: {use: pattern, label: BAD, words: [forbidden]}
  far: {use: http, url: "http://127.0.0.1:9/"}
rules:
  - {id: no-mail, when: mail, action: redact}
  - {id: no-bad, when: bad, action: block}
  - {id: far-away, on: request, when: far, action: block, mode: shadow}
tests:
  - name: a mail is redacted
    request: "write to jo@ab.io"
    expect: {rule: no-mail}
"""


def recorded(folder: Path, texts: list[str]) -> list[Record]:
    """Returns the records of exchanges under the policies of a folder."""
    policies = loader(selection=all_but(DISTANT))(folder)
    codec = codecs()[0]
    out = []
    for number, text in enumerate(texts):
        setting = Setting(
            id=f"x{number}",
            address=Address(codec.author.ROUTE),
            tenant="",
            codec=codec,
            policies=policies,
            keys=Keys.of(b"k" * 32, "", unsealed),
        )
        inputs: list[Input] = [
            RequestReceived(codec.write_body(codec.author.request_with("user", text)), unix_s=1000.0 + number),
            ResponseStarted(200, codec.contract.media.whole),
            DataReceived(codec.write_body(codec.author.answer_with("assistant", "fine"))),
            ResponseEnded(),
        ]
        last = play(Exchange(setting), inputs, each(scan_job))[-1]
        assert isinstance(last, Finish)
        assert isinstance(last.record, Record)
        out.append(last.record)
    return out
