"""The frame that no network is trained on: the same texts for the same seed, every gap filled, labels of every kind."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from benchmarks.models.frame import questions, statements
from benchmarks.models.frame.filling import Case, FrameError, blocks, pool

SCENES = statements.scenes()
GROUPS = questions.groups()
DRAWS = 8


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.domain)
def test_every_sentence_of_a_scene_can_be_filled_and_an_altered_one_is_not_in_the_document(
    scene: statements.Scene,
) -> None:
    for draw in range(DRAWS):
        case = Case.drawn(scene.pools, Random(draw))
        told = " ".join(case.fill(text) for fact in scene.facts for text in fact.told)
        rows = [row for fact in scene.facts for row in fact.sentences] + scene.whole
        altered = [case.fill(text) for sign, text in rows if sign[0] in "!+"]
        true = [case.fill(text) for sign, text in rows if sign[0] == "="]
        remarks = [case.fill(text) for text in scene.remarks]
        assert not [text for text in altered if text.removesuffix(".") in told or text in true]
        for text in (told, *altered, *true, *remarks):
            assert "{" not in text
            assert text[:1].isupper() or text[:1].isdigit()
            assert text.endswith(".")
    assert {sign[0] for fact in scene.facts for sign, _ in fact.sentences} == {"=", "!"}
    assert sorted(sign for sign, _ in scene.whole if sign != "=m") == ["+#", "+d", "+d", "+k", "+n"]


def test_statements_are_the_same_for_the_same_seed_and_of_every_kind_and_size() -> None:
    made = statements.statements(seed=3, documents=len(SCENES) * 6)
    assert made == statements.statements(seed=3, documents=len(SCENES) * 6)
    assert made != statements.statements(seed=4, documents=len(SCENES) * 6)
    assert len({scene.domain for scene in SCENES}) >= 25
    kinds = {kind for _, kind in statements.KINDS.values()} | {statements.VERBATIM, *statements.JOINED.values()}
    assert {row.kind for row in made} == kinds
    assert {row.truth: row.kind.partition(":")[0] for row in made} == {
        "supported": "true",
        "contradicted": "altered",
        "absent": "added",
    }
    assert set(Counter(row.truth for row in made).values()) == {len(made) // 3}
    words = [row.words for row in made]
    assert 25 <= min(words) < 60
    assert 1800 < max(words) <= statements.LONGEST_WORDS
    verbatim = [row for row in made if row.kind == statements.VERBATIM]
    assert all(row.sentence in row.document for row in verbatim)


def test_two_sentences_become_one() -> None:
    assert statements.joined("The {a} is here.", "The {b} is there.") == "The {a} is here, and the {b} is there."
    assert statements.joined("It is so.", "{name:W} left.") == "It is so, and {name} left."
    assert statements.joined("It is so.", "{name} gave {other:W}.") == "It is so, and {name} gave {other:W}."
    assert statements.joined("It is so.", "Europe is large.") == "It is so, and Europe is large."


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.title)
def test_every_question_of_a_group_can_be_filled_and_another_one_is_none_of_its_wordings(
    group: questions.Group,
) -> None:
    for draw in range(DRAWS):
        case = Case.drawn(group.pools, Random(draw))
        forms = [case.fill(text) for text in group.forms]
        others = [case.fill(text) for _, text in group.others]
        assert len({*forms, *others}) == len(forms) + len(others)
        assert all(text[-1] in "?." for text in (*forms, *others))
    used = " ".join((*group.forms, *(text for _, text in group.others)))
    assert all("{" + name in used for name in group.pools)


def test_pairs_of_questions_are_distinct_and_the_same_for_the_same_seed() -> None:
    same, different = questions.rewordings(5, 1000), questions.others(5, 3000)
    assert same == questions.rewordings(5, 1000)
    assert different == questions.others(5, 3000)
    assert (len(same), len(different)) == (1000, 3000)
    assert len({(pair.first, pair.second) for pair in (*same, *different)}) == 4000
    assert all(pair.is_same for pair in same)
    assert not any(pair.is_same for pair in different)
    assert all(pair.first != pair.second for pair in (*same, *different))
    assert len({pair.kind for pair in different}) >= 20


def test_there_are_ten_thousand_pairs_that_one_answer_does_not_serve() -> None:
    assert len(questions.others(1, 10_000)) == 10_000


def test_there_are_no_more_pairs_than_the_values_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "groups", lambda: GROUPS[:1])
    monkeypatch.setattr(questions, "TURNS_MOST", 50)
    assert len(questions.rewordings(1, 10_000)) < 50


def test_gaps_are_reckoned_and_formed() -> None:
    case = Case({"days": (3, 9), "name": ("the firm", "Ann"), "sum": (12000,)})
    assert case.fill("{days*24} {days:w} {days2} {100-days-1} {days+1*2}") == "72 three 9 96 8"
    assert case.fill("{name:W} pays {name2} {sum:,}, {sum}.") == "The firm pays Ann 12,000, 12000."
    for wrong in ("{nothing}", "{sum2}", "{name+1}"):
        with pytest.raises(FrameError):
            case.fill(wrong)


def test_pools_are_read() -> None:
    assert pool("$days: 2..4") == ("days", (2, 3, 4))
    assert pool("$mg number: 20 | 30") == ("mg number", (20, 30))
    assert pool("$who: Ann | 30") == ("who", ("Ann", "30"))
    with pytest.raises(FrameError):
        pool("$who: Ann | Ann")


def test_a_line_with_an_unknown_sign_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(dict(blocks("statements"))) == len(SCENES)
    with pytest.raises(FrameError):
        statements._scene("travel", ["= no letter"])
    with pytest.raises(FrameError):
        questions._group("travel", ["- no question"])
