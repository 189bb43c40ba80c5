"""The figures of judged rows: by source, honest about too few texts, and the same as JSON and as a table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardproxy.lab.reports import ALL, JudgedRow, curves, interval, report, table
from guardproxy.lab.shares import Share

FINE = [JudgedRow("chat" if n % 2 else "mail", False, n / 2000, n >= 1990) for n in range(2000)]
BAD = [JudgedRow("game", True, n / 100, n > 50) for n in range(100)] + [JudgedRow("web", True, 0.9987, True)]


def test_figures_are_given_by_source_and_for_all() -> None:
    found = report([*FINE, *BAD])
    assert list(found.attacks) == ["game", "web", ALL]
    assert list(found.harmless) == ["chat", "mail", ALL]
    web = found.attacks["web"]
    assert (web.texts, web.found.value) == (1, 1.0)
    assert [share and share.value for share in web.recall_at] == [1.0, 1.0]
    assert web.average_precision == 1 / 3, "two harmless texts score higher"
    assert [share and share.value for share in found.attacks["game"].recall_at] == [0.01, 0.0]
    assert found.attacks[ALL].texts == 101
    assert found.harmless[ALL].found.value == 10 / 2000
    assert found.harmless["chat"].texts == 1000
    assert not found.notes


def test_rows_are_ranked_by_their_margin_where_they_have_one() -> None:
    fine = [replace(row, margin=row.score - 2) for row in FINE]
    found = report([*fine, *(replace(row, score=0.0, margin=1.0) for row in BAD)]).attacks[ALL]
    assert (found.auc, found.average_precision) == (1.0, 1.0)


def test_a_single_source_has_no_line_for_all() -> None:
    found = report(BAD[:3])
    assert list(found.attacks) == ["game"]
    assert found.attacks["game"].auc is None
    assert found.attacks["game"].average_precision is None
    assert not found.harmless
    assert curves(BAD[:3]) == {}


def test_too_few_harmless_texts_are_said() -> None:
    found = report([*FINE[:900], *BAD])
    assert found.attacks["game"].recall_at[0] is not None
    assert found.attacks["game"].recall_at[1] is None
    assert found.notes == (
        "900 harmless texts are too few for 0.1 % false positives: not a single text could be found; give 1,000 or more",
    )
    assert len(report([*FINE[:99], *BAD]).notes) == 2
    assert report(FINE).notes == ("no row is labelled as an attack, so there is no recall",)


def test_the_curves_are_those_of_the_sources() -> None:
    drawn = curves([*FINE, *BAD])
    assert list(drawn) == ["game", "web", ALL]
    x, y = drawn["web"]
    assert y[x <= 0.0015].max() == 1.0


def test_the_report_is_json() -> None:
    shown = json.loads(json.dumps(report([*FINE, *BAD]).as_json()))
    assert shown["attacks"]["game"]["recall_at"]["0.01"]["value"] == 0.01
    assert shown["attacks"]["web"]["average_precision"] == 1 / 3
    assert shown["harmless"]["all"]["found"]["low"] < 0.005
    assert sum(one["texts"] for one in shown["calibration"]["bins"]) == 2101
    assert 0 < shown["calibration"]["expected_error"] < 1
    assert json.loads(json.dumps(report(BAD).as_json()))["attacks"]["game"]["recall_at"]["0.01"] is None


def test_the_table_has_a_head_and_a_line_for_each_source() -> None:
    upper, lower = table(report([*FINE, *BAD]), "1%")
    assert upper[0] == ["attacks", "texts", "found at 1%", "at 1 % false pos.", "at 0.1 % false pos.", "AUC", "AP"]
    assert [row[0] for row in upper[1:]] == ["game", "web", ALL]
    assert lower[0] == ["harmless", "texts", "found at 1%"]
    assert lower[-1][:2] == [ALL, "2000"]
    (only,) = table(report(BAD), "0.5")
    assert only[1][3:] == ["-", "-", "-", "-"]
    (only,) = table(report(FINE), "0.5")
    assert only[0][0] == "harmless"


@pytest.mark.parametrize(("share", "shown"), [(None, "-"), (Share(0.9312, 0.9, 0.951), "93.1 % (90.0 to 95.1)")])
def test_an_interval_is_written_out(share: Share | None, shown: str) -> None:
    assert interval(share) == shown
