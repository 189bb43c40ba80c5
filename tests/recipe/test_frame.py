"""The frame that no network is trained on: the same texts for the same seed, every gap filled, labels of every kind."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks.models.frame import difficulty, questions, statements, topics
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


def test_a_topic_has_ten_examples_and_sixty_other_texts() -> None:
    found = topics.own()
    assert len(found) == 10
    for topic in found:
        assert (len(topic.examples), len(topic.texts), len(topic.near)) == (topics.EXAMPLES, 60, 12)
        assert topic.about.endswith(".")
    texts = [text for topic in found for text in (*topic.examples, *topic.texts, *topic.near)]
    assert len(texts) == len(set(texts))


def test_topics_by_others_are_read_from_the_data_folder(tmp_path: Path) -> None:
    for heading in topics.HEADINGS:
        path = tmp_path / heading.path
        path.parent.mkdir(exist_ok=True)
        rows = [
            {"text": f"{heading.name} {number}", heading.field or "source": heading.value, "kind": heading.kind}
            for number in range(15)
        ]
        rows += [rows[0], {**rows[0], "text": "x" * 601}, {"text": "of another kind", "kind": "other", "source": ""}]
        with gzip.open(path, "at") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    for path in (tmp_path / name for name in topics.TRAFFIC):
        path.write_bytes(gzip.compress(b'{"text": "a question"}\n{"text": "another"}\n'))
    found = topics.by_others(tmp_path, seed=1, most=4)
    assert found == topics.by_others(tmp_path, seed=1, most=4)
    assert len(found) >= 10
    for topic in found:
        assert (len(topic.examples), len(topic.texts)) == (topics.EXAMPLES, 4)
        assert all(text.startswith(topic.name) for text in (*topic.examples, *topic.texts))
    assert len(topics.traffic(tmp_path, seed=1, each=1)) == len(topics.TRAFFIC)


def test_the_length_of_a_question_says_nothing_of_its_difficulty() -> None:
    found = difficulty.questions()
    counts = Counter((question.is_hard, question.is_long) for question in found)
    assert counts == {(True, False): 120, (False, True): 120, (True, True): 60, (False, False): 60}
    words = {row: [len(each.text.split()) for each in found if (each.is_hard, each.is_long) == row] for row in counts}
    assert max(words[True, False]) < 20
    assert min(words[False, True]) > 60
    assert len({question.text for question in found}) == len(found)
    assert all(question.kind for question in found)
