"""What the benchmarks of meaning count, with candidates that judge by a rule of the test."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import meaning_tables
from benchmarks.checks import grounded, topic
from benchmarks.gateway import semantic_cache
from benchmarks.models.frame import topics
from benchmarks.models.frame.statements import GOALS, Statement, statements
from benchmarks.page import table
from benchmarks.shares import share

ROWS = statements(seed=1, documents=40)
TRUTHS = [row.truth for row in ROWS]


def test_a_candidate_that_knows_the_truth_finds_everything_and_flags_nothing_true() -> None:
    flags = [truth != "supported" for truth in TRUTHS]
    found = grounded.figures(ROWS, grounded.Judged([float(flag) for flag in flags], flags))
    assert found["auc"] == 1.0
    for counts in (found["flagged"], found["at 5 %"]):
        assert counts["true"] == share(0, TRUTHS.count("supported"))
        assert all(counts[goal]["percent"] == 100 for goal in GOALS)
    assert grounded.listed(ROWS, flags) == {
        "true sentences that are flagged": [],
        "altered sentences that are missed": [],
        "added sentences that are missed": [],
    }


def test_what_is_wrong_is_listed_and_counted_by_length() -> None:
    flags = [truth == "supported" for truth in TRUTHS]
    lists = grounded.listed(ROWS, flags)
    assert all(0 < len(rows) <= grounded.LISTED for rows in lists.values())
    assert {row["kind"].partition(":")[0] for row in lists["added sentences that are missed"]} == {"added"}
    lengths = grounded.by_length(ROWS, flags)
    assert sum(row["true flagged"]["count"] for row in lengths.values()) == TRUTHS.count("supported")
    assert sum(row["others found"]["of"] for row in lengths.values()) == len(ROWS) - TRUTHS.count("supported")
    assert grounded.by_length(ROWS[:1], flags[:1])["from 2000 words"]["others found"] == share(0, 0)


def test_the_goals_name_every_kind_that_is_not_true() -> None:
    kinds = {row.kind for row in statements(seed=1, documents=400) if row.truth != "supported"}
    assert {kind for goal in GOALS.values() for kind in goal} == kinds


def test_a_form_of_the_check_flags_by_itself_and_is_ordered_by_its_doubt() -> None:
    true = Statement(
        "ferries", ("The ferry to Osterby takes 50 minutes.",), "The ferry takes 50 minutes.", "supported", ""
    )
    false = replace(true, sentence="The hotel has a swimming pool for children.", truth="absent")
    check, doubting = grounded.forms(names=("words",))["words"]
    judged = grounded.by_check(check, doubting)([true, false])
    assert judged.flagged == [False, True]
    assert judged.scores[0] < judged.scores[1]


def test_pieces_are_two_sentences_of_one_passage() -> None:
    assert grounded.pieces(("One is here. Two is there. Three is gone.", "Four is alone.")) == (
        "One is here. Two is there.",
        "Two is there. Three is gone.",
        "Four is alone.",
    )


def test_hits_of_a_cache_are_counted_by_set_and_by_kind() -> None:
    rows = semantic_cache.frame(50, 200)
    never = semantic_cache.figures(rows, semantic_cache.Candidate(lambda first, second: 0.0, {"point": 1.0}))["point"]
    assert never["hits"] == {"frame: rewordings": share(0, 50), "frame: other questions": share(0, 200)}
    assert (never["lists"]["wrong hits"], len(never["lists"]["misses"])) == ([], 50)
    always = semantic_cache.figures(rows, semantic_cache.Candidate(lambda first, second: 1.0, {"point": 1.0}))["point"]
    assert sum(row["count"] for row in always["wrong hits by kind"].values()) == 200
    assert (len(always["lists"]["wrong hits"]), always["lists"]["misses"]) == (semantic_cache.LISTED, [])
    assert semantic_cache.by_wording("What is a yew?", "what is a yew") == 1.0


def test_topics_are_counted_at_the_threshold_of_a_candidate_and_at_a_share() -> None:
    found = topics.own()[:3]
    texts = {text: each.name for each in found for text in each.texts}

    def knowing(subject: topics.Topic) -> topic.Fitted:
        return topic.Fitted(lambda text: float(texts.get(text) == subject.name), 0.5)

    report = topic.figures(found, knowing, ["something else"])
    assert report["mean auc"] == 1.0
    assert report["all"]["on the topic"] == share(180, 180)
    assert report["all"]["other topics"] == share(0, 360)
    assert report["all"]["near"] == share(0, 36)
    assert report["all"]["traffic"] == share(0, 3)
    assert report["lists"] == {}
    blind = topic.figures(found, lambda subject: topic.Fitted(lambda text: 0.0), ())
    assert blind["all"] == {"found at 2 %": share(0, 180)}


def test_a_zero_of_many_has_a_fine_bound() -> None:
    assert share(0, 10_000) == {"count": 0, "of": 10_000, "percent": 0.0, "below_percent": 0.03}


def test_tables_show_counts_and_bounds() -> None:
    flags = [truth == "contradicted" for truth in TRUTHS]
    found = grounded.figures(ROWS, grounded.Judged([float(flag) for flag in flags], flags))
    found["lists"] = grounded.listed(ROWS, flags)
    cost = {"first sentence": 3.0, "further sentence": 1.234, "further sentence, 99th percentile": 20.5}
    report = {"statements": {"frame": {"sentences": len(ROWS), "meaning": found}}, "ms": {"meaning": cost}}
    shown = meaning_tables.grounded(report, table)
    true, altered = TRUTHS.count("supported"), sum(row.kind in GOALS["negations and exchanges"] for row in ROWS)
    assert f"| `by: meaning` | 0 % (0 of {true}), so below " in shown
    assert f" 100 % ({altered} of {altered}) |" in shown
    assert "| 3 ms | 1.23 ms | 20.5 ms |" in meaning_tables.grounded_cost(report, table)
    assert "| true: reworded | 0 % (0 of " in meaning_tables.grounded_kinds(report, table)
    assert meaning_tables.grounded_wrong(report).startswith("- true sentences that are flagged: none\n")


def test_tables_of_the_cache_show_each_point() -> None:
    rows = semantic_cache.frame(5, 20)
    candidate = semantic_cache.Candidate(lambda first, second: 0.95, {"same": 0.9, "0.99": 0.99})
    found = semantic_cache.figures(rows, candidate)
    report = {
        "candidates": {"equal wording": {"": found["0.99"]}, "the cache": found},
        "ms": {"the cache": {"pairs": 5, "median": 9.876, "p99": 12.3}},
        "pairs": 25,
        "the network was asked": {"pairs": 25},
    }
    shown = meaning_tables.likeness(report, table)
    assert "| the cache, same | 100 % (5 of 5) | 100 % (20 of 20) |" in shown
    assert "| equal wording | 0 % (0 of 5), so below 60 % | 0 % (0 of 20), so below 15 % |" in shown
    assert "the cache 9.9 ms (99th percentile 12)" in meaning_tables.likeness_cost(report)
    assert "| direction | 100 % (" in meaning_tables.likeness_kinds(report, table)
    assert meaning_tables.likeness_wrong(report).endswith("- misses: none\n")


def test_the_table_of_topics_leaves_out_what_was_not_judged() -> None:
    found = topic.figures(topics.own()[:2], lambda subject: topic.Fitted(lambda text: 0.0), ())
    report = {"sets": {"own topics": {"nothing": found}}}
    shown = meaning_tables.topics(report, table)
    assert "| own topics | nothing | 0.500 | 0 % (0 of 120), so below 2.5 % | | | | |" in shown
