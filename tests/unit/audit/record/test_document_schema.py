"""The published schema takes every line that is written, and no other."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from guardproxy.audit.record.chain import begin, seal
from guardproxy.audit.record.document import ENTRY_VERSION, Gap
from guardproxy.audit.record.document_schema import log_schema
from guardproxy.audit.record.entries import AnyEntry, Erased, Judged, PolicyChanged, Reviewed, Rotated, Unsealed
from guardproxy.audit.shipping.intents import closing
from tests.kit.records import plain_answer, plain_intent, plain_record, plain_text, validator

ENTRIES: list[AnyEntry] = [
    plain_record(plain_answer(plain_text())),
    plain_intent(),
    closing(plain_intent(), 2.0, "e", "why"),
    Gap(v=ENTRY_VERSION, at=2.0, since=1.0, why="disk full"),
    Erased(v=ENTRY_VERSION, at=3.0, engine="e", keys=("k",), by="me", why="asked"),
    Rotated(v=ENTRY_VERSION, at=4.0, engine="e", count=1, by="me", why="each year"),
    Unsealed(v=ENTRY_VERSION, at=5.0, id="x", engine="e", key="k", by="me", why="incident"),
    Reviewed(v=ENTRY_VERSION, at=6.0, id="x", engine="e", policy="p", rule="r", verdict="missed", text=2, by="me"),
    PolicyChanged(
        v=ENTRY_VERSION,
        at=7.0,
        engine="e",
        files=PolicyChanged.changed({"a.yaml": ("sha256:1", "sha256:2"), "b.yaml": (None, "sha256:3")}),
        by="me",
        approved_by="you",
        why="asked",
    ),
    Judged(
        v=ENTRY_VERSION,
        at=8.0,
        id="x",
        engine="e",
        policy="p",
        upstream="u",
        model="m",
        rubric="r",
        scale=(1, 5),
        ms=1.0,
    ),
]


def lines() -> list[dict[str, Any]]:
    line, head = begin({"log": "origin", "engine": "test"})
    out = [line]
    for entry in ENTRIES:
        line, head = seal(entry.document(), head)
        out.append(line)
    return [json.loads(line) for line in out]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(log_schema())


def test_the_lines_are_of_every_kind() -> None:
    assert {type(entry) for entry in ENTRIES} == set(get_args(AnyEntry))


@pytest.mark.parametrize("number", range(len(ENTRIES) + 1))
def test_every_kind_of_line_is_valid(number: int) -> None:
    line = lines()[number]
    validator().validate(line)
    assert not validator().is_valid({**line, "more": 1})
    assert not validator().is_valid({**line, "hash": "short"})
    for name in ("hash", "v" if number else "format"):
        assert not validator().is_valid({key: value for key, value in line.items() if key != name})


def test_every_member_is_described() -> None:
    definitions = log_schema()["$defs"]
    for name in (*(kind.__name__ for kind in get_args(AnyEntry)), "ChangedFile"):
        assert definitions[name]["description"]
        for member, schema in definitions[name]["properties"].items():
            has_own = "description" in schema or "const" in schema or "enum" in schema
            assert has_own or "$ref" in str(schema), f"{name}.{member}"
