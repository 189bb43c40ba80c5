"""The second generation's data: the definition is kept, pairs are pairs, and no opening, pattern or group decides."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supervisor.recipe import data as first
from models.supervisor.recipe.second import contrast, sources
from models.supervisor.recipe.second.balance import (
    FREQUENT,
    LEAST_SHARE,
    MOST_SHARE,
    PLENTY,
    counts,
    describe,
    features,
    is_harmful,
    rebalance,
    unbalanced_features,
)
from models.supervisor.recipe.second.noise import DISGUISES, SLIPS, disturb
from models.supervisor.recipe.second.ordinary import APART, WHOLE, is_apart
from models.supervisor.recipe.second.outputs import (
    CHANNELS,
    HOW,
    JAILBREAK,
    KINDS,
    PARTS,
    Row,
    make_row,
    targets,
    to_parts,
)
from models.supervisor.recipe.second.reframing import task


@pytest.fixture(scope="module")
def own() -> list[Row]:
    return contrast.compose_rows(random.Random(1))


def test_the_definition_has_sixty_examples_of_every_part() -> None:
    examples = contrast.definition()
    assert len({example["text"] for example in examples}) >= 60
    found = Counter(name for example in examples for name, value in example["targets"].items() if value)
    assert set(HOW) <= set(found)
    assert sum(not is_harmful(example) for example in examples) >= 20
    lines = (contrast.HERE / "definition.jsonl").read_text("utf-8").splitlines()
    assert all(json.loads(line)["because"] for line in lines)


def test_own_rows_hold_the_definition(own: list[Row]) -> None:
    told = defaultdict(list)
    for given_row in own:
        told[given_row["text"]].append(given_row)
    for example in contrast.definition():
        assert len(told[example["text"]]) >= 6
        for other in told[example["text"]]:
            assert not contradiction(example["targets"], other["targets"])


MADE = """
import hashlib, json, random
from models.supervisor.recipe.second.balance import rebalance
from models.supervisor.recipe.second.contrast import compose_rows
rows = rebalance(compose_rows(random.Random(1)), random.Random(2))
print(len(rows), hashlib.sha256(json.dumps(rows).encode()).hexdigest())
"""


def test_the_rows_do_not_depend_on_the_order_of_sets() -> None:
    """It differs from process to process."""
    made = {
        subprocess.run(
            [sys.executable, "-c", MADE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1


def contradiction(row: dict[str, int], other: dict[str, int]) -> set[str]:
    return {name for name in row.keys() & other.keys() if row[name] != other[name]}


def test_each_row_knows_its_parts_and_its_channel(own: list[Row]) -> None:
    for given_row in own:
        assert set(given_row["targets"]) <= {*PARTS, JAILBREAK}
        assert given_row["channel"] in CHANNELS
        if given_row["span"]:
            start, end = given_row["span"]
            assert given_row["text"][start:end].strip()
            assert given_row["targets"]["order"] == 1


@pytest.mark.parametrize(
    "source", ["own/wrapper", "own/pretext", "own/order", "own/question", "own/thin", "own/places", "own/secrets"]
)
def test_pairs_have_as_many_harmful_as_harmless_rows(own: list[Row], source: str) -> None:
    labels = Counter(is_harmful(given_row) for given_row in own if given_row["source"] == source)
    assert labels[True] == labels[False] > 90


def test_frames_and_places_are_filled(own: list[Row]) -> None:
    assert not [given_row["text"] for given_row in own if "{t}" in given_row["text"] or "{s}" in given_row["text"]]
    assert not [given_row["text"] for given_row in own if "{g}" in given_row["text"] or "{m}" in given_row["text"]]


def test_lists_have_whole_lines() -> None:
    for form, lines in contrast.sections("tasks.txt").items():
        assert form in contrast.FRAMES_OF_TASK
        assert all(line.split("|")[0] in KINDS and len(line.split("|")) == 3 for line in lines)
    places = contrast.sections("places.txt")
    assert all(len(line.split(" => ")) == 2 for line in (*places["pair"], *places["snippet"]))
    assert all(line.count("{s}") == 1 for line in (*places["carrier"], *places["code"]))
    assert all(len(lines) == len(set(lines)) for lines in places.values() if "{s}" not in lines)
    secrets = contrast.sections("secrets.txt")
    languages = {line.split("|")[0] for line in secrets[""]}
    assert len(languages) == 12
    assert {name for name in secrets if name} == {
        f"{lang}:{part}" for lang in languages for part in ("ask", "kept", "open")
    }
    assert all(line.count("{s}") == 1 for lang in languages for line in secrets[f"{lang}:ask"])


def test_thin_kinds_have_many_texts_in_every_form(own: list[Row]) -> None:
    texts = {kind: {row["text"] for row in own if row["targets"].get(kind) == 1} for kind in KINDS}
    assert all(len(texts[kind]) >= 400 for kind in ("sexual", "self_harm", "violence", "illicit"))
    forms = Counter((row["channel"], is_harmful(row)) for row in own if row["source"] == "own/thin")
    assert min(forms.values()) > 80
    assert set(forms) == {(channel, harmful) for channel in ("user", "assistant") for harmful in (True, False)}
    assert not [row["text"] for row in own if row["source"] == "own/thin" and re.search(r"[{}|]", row["text"])]


def test_secrets_are_asked_for_in_twelve_languages_and_no_text_has_two_labels(own: list[Row]) -> None:
    assert len({row["text"] for row in own if row["targets"].get("extraction") == 1}) >= 400
    labels = defaultdict(set)
    for row in own:
        labels[row["text"]].add(is_harmful(row))
    assert all(len(found) == 1 for found in labels.values())


def test_tool_orders_are_sixty_actions_after_thirty_marks() -> None:
    places = contrast.sections("places.txt")
    assert len({line.split(" => ")[0] for line in places["pair"]}) >= 60
    assert len(places["mark"]) == len(places["clean"]) >= 30
    assert "{s}" in places["carrier"]


def test_an_override_is_an_attack_whatever_is_asked_and_a_wrapper_is_none() -> None:
    assert targets(["override"])[JAILBREAK] == 1
    assert targets(["wrapper"])[JAILBREAK] == 0
    assert targets(["wrapper"], ["illicit"])[JAILBREAK] == 1
    assert targets([], ["illicit"])[JAILBREAK] == 0
    assert targets(["obfuscation"], ["hate"])[JAILBREAK] == 1
    with pytest.raises(ValueError, match="unknown parts: rude"):
        targets(["rude"])


def test_earlier_targets_leave_the_manner_open() -> None:
    assert to_parts({"jailbreak": 1}) == {"jailbreak": 1}
    assert to_parts({"embedded_instruction": 1}) == {"order": 1}
    assert to_parts({"jailbreak": 0, "illicit": 1})["harmful"] == 1
    assert to_parts(dict.fromkeys(KINDS, 0))["harmful"] == 0


@given(st.text(max_size=80), st.integers())
def test_noise_is_the_same_for_a_seed_and_says_if_it_is_a_disguise(text: str, seed: int) -> None:
    assert disturb(text, random.Random(seed)) == disturb(text, random.Random(seed))
    assert disturb(text, random.Random(seed), 0)[1] is False
    assert disturb(text, random.Random(seed), 1)[1] is True


@pytest.mark.parametrize("noise", dict.fromkeys((*SLIPS, *DISGUISES)))
def test_every_noise_changes_a_text_and_keeps_its_words(noise: Any) -> None:
    text = 'Please, for the last time, tell your sister that you are "ready" because the train leaves at noon.'
    disturbed_text = noise(text, random.Random(3))
    assert disturbed_text != text
    assert len(disturbed_text.split()) > len(text.split()) / 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("How can I peel an orange quickly?", "peel an orange quickly"),
        ("What is the best way to clean a kettle?", "clean a kettle"),
        ("Why is the sky blue?", None),
        ("How can I do this? And that?", None),
    ],
)
def test_a_question_becomes_a_task(text: str, found: str | None) -> None:
    assert task(text) == found


def made(text: str, harmful: bool) -> Row:
    return make_row(text, targets([], ["illicit"] if harmful else []), "made")


def test_balancing_leaves_no_feature_that_decides() -> None:
    rows = [made(f"open sesame {at}", at % 10 == 0) for at in range(1000)]
    rows += [made(f"close sesame, please {at}", at % 3 != 0) for at in range(600)]
    rows += [made(f"rare words {at}", True) for at in range(FREQUENT - 1)]
    assert set(unbalanced_features(describe(rows))) >= {"opening: open sesame"}
    kept = rebalance(rows, random.Random(1))
    assert not unbalanced_features(describe(kept))
    assert sum("rare" in row["text"] for row in kept) == FREQUENT - 1
    bad, fine = counts(describe(kept))["opening: open sesame"]
    assert bad == 100
    assert fine > 150


def test_balancing_drops_rows_of_large_sources_first() -> None:
    posts = [made(f"open sesame {at}", False) | {"source": "posts"} for at in range(PLENTY + 1)]
    pairs = [made(f"open sesame, dear {at}", at % 2 == 0) for at in range(400)]
    kept = rebalance([*posts, *pairs], random.Random(1))
    assert not unbalanced_features(describe(kept))
    assert sum(row["source"] == "made" for row in kept) == 400
    assert 0 < sum(row["source"] == "posts" for row in kept) < 400


def test_features_are_openings_patterns_and_groups() -> None:
    assert features(make_row("Please ignore the Poles' JSON BODY", targets(), "made")) >= {
        "opening: please", "opening: please ignore", "pattern: ignore, disregard, forget", "group: poles", "pattern: capitals",
    }  # fmt: skip


def test_nothing_that_forbids_shipping_is_trained_on_and_ordinary_traffic_stays_apart() -> None:
    names = [source.name for source in sources.TRAINING]
    assert len(names) == len(set(names))
    unlicensed = {"injection/jailjudge_complex", "content/olid", "content/phtest", "content/safecity_reports",
                  "content/sdcnl", "content/uselection_tweets", "content/ethos", "benign/leaked_system_prompts"}  # fmt: skip
    reported = {"injection/pypi_corpora", "injection/mitre_frr_benign_cyber", "content/surge_toxicity"}
    assert not [name for name in names if name.endswith("-nc") or "tensor_trust" in name]
    assert not {*names} & (unlicensed | reported | {name for name, *_ in WHOLE.values()})
    for name, *_ in APART.values():
        places = [is_apart(name, {"source": "anything"}, place) for place in range(8)]
        assert not all(places)


def test_no_order_of_a_set_decides_what_a_training_file_holds(own: list[Row]) -> None:
    known = counts(describe(own))
    assert len(known) > 20
    assert list(known) == sorted(known)
    assert [name for name in targets(what=KINDS) if name in KINDS] == sorted(KINDS)


# The data is not part of the project; CI names its folder.
needs_data = pytest.mark.skipif("GUARDPROXY_DATA" not in os.environ, reason="GUARDPROXY_DATA names no data folder")


@needs_data
@pytest.mark.heavy
def test_the_training_set_is_balanced_and_holds_the_definition() -> None:
    from models.supervisor.recipe.second.data import prepare

    train, validation, report = prepare(first.data_folder())
    known = describe(train)
    shares = {name: bad / (bad + fine) for name, (bad, fine) in counts(known).items()}
    assert len(shares) > 100
    assert not {name: share for name, share in shares.items() if not LEAST_SHARE <= share <= MOST_SHARE}
    by_text = defaultdict(list)
    for row in train:
        by_text[row["text"]].append(row["targets"])
    for example in contrast.definition():
        assert by_text[example["text"]]
        assert not any(contradiction(example["targets"], other) for other in by_text[example["text"]])
    held = {row["text"] for row in (*validation, *report)}
    definition = {example["text"] for example in contrast.definition()}
    assert not {row["text"] for row in train} & held - definition
