"""Lines of labelled files: what labels may be, and that an error names its place and never its text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.lab.rows import DataError, LabelledRow, RowKeys, rows

PLAIN = RowKeys()


def read(line: Any, keys: RowKeys = PLAIN) -> LabelledRow:
    (row,) = rows([json.dumps(line).encode()], "mine.jsonl", "mine", keys)
    return row


@pytest.mark.parametrize(
    ("label", "attack"), [(0, False), (1, True), (True, True), (False, False), ("1", True), (1.0, True)]
)
def test_labels_are_numbers_or_truth_values(label: Any, attack: bool) -> None:
    assert read({"text": "a", "label": label}).attack is attack


@pytest.mark.parametrize(
    ("label", "attack"),
    [
        ("jailbreak", True),
        ("benign", False),
        (["benign", "hate"], True),
        ([], False),
        (2, True),
        (2.5, False),
        (True, False),
    ],
)
def test_names_mean_what_the_user_says(label: Any, attack: bool) -> None:
    keys = RowKeys("body", "kind", "from", frozenset({"jailbreak", "hate", "2"}))
    row = read({"body": "a", "kind": label, "from": "mail"}, keys)
    assert (row.attack, row.source) == (attack, "mail")


def test_a_row_knows_its_place_and_its_file_is_its_source() -> None:
    lines = [b'{"text": "a", "label": 0}\n', b"  \n", b'{"text": "b", "label": 1, "source": ""}\n']
    found = list(rows(lines, "x/mine.jsonl", "mine", RowKeys()))
    assert found == [
        LabelledRow("a", False, "mine", "x/mine.jsonl:1"),
        LabelledRow("b", True, "mine", "x/mine.jsonl:3"),
    ]


def test_without_labels_every_text_is_harmless() -> None:
    assert read({"text": "a", "label": "what"}, RowKeys(label="")).attack is False


@pytest.mark.parametrize(
    ("line", "keys", "message"),
    [
        (b"secret {", PLAIN, "not a line of JSON"),
        (b"\xff\xfe secret", PLAIN, "not a line of JSON"),
        (b'["secret"]', PLAIN, "not a JSON object"),
        (b'{"texts": "secret", "label": 1}', PLAIN, "`text` must be a text (--text-key names the key)"),
        (b'{"text": 5, "label": 1}', PLAIN, "`text` must be a text (--text-key names the key)"),
        (b'{"text": "secret"}', PLAIN, "there is no `label` (--label-key names the key)"),
        (b'{"text": "secret", "label": 2}', PLAIN, "`label` must be 0 or 1, or --positive must say which names count"),
        (
            b'{"text": "secret", "label": [1]}',
            RowKeys(),
            "`label` must be 0 or 1, or --positive must say which names count",
        ),
        (b'{"text": "a", "label": {}}', RowKeys(positive=frozenset("x")), "`label` must be a name or a list of names"),
    ],
)
def test_an_error_names_file_and_line_and_never_the_text(line: bytes, keys: RowKeys, message: str) -> None:
    with pytest.raises(DataError) as raised:
        list(rows([b"\n", line], "mine.jsonl", "mine", keys))
    assert str(raised.value) == f"mine.jsonl:2: {message}"
