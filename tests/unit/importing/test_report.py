"""Every value of a file is in the report."""

from __future__ import annotations

from guardproxy.importing.report import UNKNOWN, ImportReport
from guardproxy.importing.source import read_source

SOURCE = read_source(b"a: {b: 1, c: 2}\nd: [{e: secret}]\nf: 3\n", "f")


def test_a_value_without_a_note_is_not_possible() -> None:
    report = ImportReport(SOURCE, {"d.e": "because"})
    report.taken("there", "a")
    report.changed("no such key", "x")
    assert [(note.line, note.path, note.result, note.text) for note in report.notes()] == [
        (1, "a", "taken", "there"),
        (2, "d[0].e", "not possible", "because"),
        (3, "f", "not possible", UNKNOWN),
    ]


def test_the_reason_of_a_part_holds_for_what_is_in_it() -> None:
    report = ImportReport(SOURCE, {"a": "no a", "a.c": "no c"})
    report.changed("changed", "d", 0, "e")
    report.impossible("no", "f")
    assert [(note.path, note.text) for note in report.notes()] == [
        ("a.b", "no a"),
        ("a.c", "no c"),
        ("d[0].e", "changed"),
        ("f", "no"),
    ]
