"""What a reviewer is told of policies that are right."""

from __future__ import annotations

from guardproxy.policy.load import parse
from guardproxy.policy.notes import notes

HEAD = "policy: p\nchecks: {shape: {use: json_schema, schema: from_request}}\nrules:\n"


def test_a_reviewer_is_told_what_a_retry_costs() -> None:
    text = (
        HEAD
        + "  - {id: one, when: shape, action: retry, attempts: 3, total_s: 9}\n"
        + "  - {id: two, when: shape, action: retry, early: true}\n"
        + "  - {id: three, when: shape, action: retry, mode: shadow}\n"
        + "  - {id: four, when: shape, action: block}\n"
        + "  - {id: five, when: shape, action: retry, then: fallback, fallback: {model: m}}\n"
    )
    told = [str(note) for note in notes([parse(text, "p.yaml")])]
    assert len(told) == 3
    assert told[0].startswith("p.yaml:4:5: `one` holds a streaming answer back to its end")
    assert "up to 4 answers" in told[0]
    assert "after 9 s" in told[0]
    assert "only while no text of a stream was sent" in told[1]
    assert "up to 4 answers" in told[2]
