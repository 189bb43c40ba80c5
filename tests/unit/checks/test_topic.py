"""The check `topic`: what it finds in both ways, in any pieces, and which options it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks import Check, Resources, build
from guardproxy.checks.topic import MOST, MOST_TOPICS, OFF_TOPIC
from guardproxy.errors import ConfigError, OptionError
from guardproxy.findings import Channel, Direction, Finding, Window
from tests.kit.checks import PROSE, assert_invariant, promise, scan_in_chunks
from tests.kit.topics import BILLING, PARCELS, WordEmbedder, ordinary, resources

TOPICS = [BILLING, PARCELS]
LONG = "Refund the double payment of my invoice, please: the payment was a double one, and the invoice too. " * 2


@cache
def check(way: str, evasions: str = "standard") -> Check:
    return build("topic", "t", {way: TOPICS, "evasions": evasions}, resources())


def found(way: str, text: str, direction: Direction = "request") -> list[Finding]:
    (scan,) = check(way).scan(
        [Window(Channel(direction, "user" if direction == "request" else "assistant", "x"), text)]
    )
    assert scan.settled == len(text)
    return list(scan.findings)


def labels(way: str, text: str, direction: Direction = "request") -> list[str]:
    return [finding.label for finding in found(way, text, direction)]


@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_denied_topic_is_found_with_its_name(direction: Direction) -> None:
    assert labels("deny", "is there a refund of the invoice", direction) == ["billing"]
    assert labels("deny", "did the courier bring my parcel", direction) == ["parcels"]
    assert labels("deny", "the boats go out every morning", direction) == []
    assert labels("deny", "thanks", direction) == []


@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_text_about_no_allowed_topic_is_off_topic(direction: Direction) -> None:
    assert labels("allow", "the boats go out every morning in the fog", direction) == [OFF_TOPIC]
    assert labels("allow", "is there a refund of the invoice", direction) == []
    assert labels("allow", "did the courier bring my parcel", direction) == []


@pytest.mark.parametrize(
    "text", ["hi", "Thanks a lot!", "yes, please", "no, the other one", "\n", "", "Anna Miller", "17"]
)
def test_what_says_little_is_not_off_topic(text: str) -> None:
    assert found("allow", text) == []


def test_the_fewest_words_of_a_text_that_can_be_off_topic_are_the_policys() -> None:
    strict = build("topic", "t", {"allow": TOPICS, "least_words": 1}, resources())
    window = Window(Channel("request", "user", "x"), "lighthouse!")
    assert [finding.label for finding in strict.scan([window])[0].findings] == [OFF_TOPIC]


def test_a_finding_says_what_the_text_is_about_and_how_much() -> None:
    (finding,) = found("deny", "  refund the payment  ")
    assert (finding.start, finding.end, finding.check) == (2, 20, "t")
    assert 0.5 < finding.score <= 1
    assert (finding.details[0].expected, finding.details[0].found[:21]) == (
        "no text about billing",
        "a text about billing ",
    )
    (other,) = found("allow", "the boats go out every morning in the fog")
    assert 0 < other.score <= 1
    assert other.details[0].expected == "a text about billing, parcels"


def test_a_long_text_is_judged_by_pieces() -> None:
    text = PROSE + LONG + PROSE
    (finding,) = found("deny", text)
    assert text[finding.start : finding.end] in LONG
    off = found("allow", text)
    assert [
        text[finding.start : finding.end] for finding in off if "invoice" in text[finding.start : finding.end]
    ] == []
    assert len(off) > 4


def test_a_piece_that_is_on_topic_with_the_one_before_is_not_off_topic() -> None:
    """A long complaint wanders, and comes back."""
    wandering = "Afterwards the engineer counted the steps."
    assert labels("allow", LONG + wandering) == []
    assert labels("allow", wandering + " " + LONG) == []
    assert labels("allow", wandering) == [OFF_TOPIC]


def test_a_disguised_text_is_read_as_what_it_stands_for() -> None:
    hidden = "\uff52\uff45\uff46\uff55\uff4e\uff44 the pay\u200bment of the inv\u200boice"
    assert labels("deny", hidden) == ["billing"]
    assert labels("allow", hidden) == []
    (scan,) = check("deny", "off").scan([Window(Channel("request", "user", "x"), hidden)])
    assert scan.findings == ()


@promise
@given(
    st.lists(st.sampled_from([*PROSE.split(". "), LONG, "Hi!", "refund", "parcel\n", " ", "x" * 200]), max_size=8),
    st.sampled_from(["allow", "deny"]),
    st.data(),
)
def test_chunks_change_nothing(parts: list[str], way: str, data: st.DataObject) -> None:
    text = ". ".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=6)))
    assert_invariant(check(way), text, cuts)


def test_a_stream_is_held_for_one_piece_at_most() -> None:
    held: list[int] = []
    scan_in_chunks(check("deny"), PROSE * 3, range(1, 3 * len(PROSE), 7), held)
    assert max(held) < 490


def test_equal_topics_have_equal_digests_whatever_the_name() -> None:
    assert check("deny").digest == build("topic", "other", {"deny": TOPICS, "evasions": "standard"}, resources()).digest
    assert check("deny").digest != check("allow").digest


def test_a_policy_says_its_threshold() -> None:
    never = build("topic", "t", {"deny": [BILLING | {"threshold": 1}]}, resources())
    text = "is there a refund of the invoice that the boats brought"
    assert never.scan([Window(Channel("request", "user", "x"), text)])[0].findings == ()
    assert [advice.message[-40:] for advice in never.traits.advice if not advice.serious] == []


def test_lint_says_what_is_not_fitted_and_which_topic_is_too_wide() -> None:
    wide = {"name": "all", "about": "anything", "examples": ["boats in fog", "tax forms", "jazz songs", "sharp knives"]}
    built = build("topic", "t", {"deny": [BILLING, wide]}, resources())
    assert [(advice.item, advice.serious) for advice in built.traits.advice] == [(0, False), (1, False), (1, True)]
    assert "guardproxy model topic" in built.traits.advice[0].message
    assert "too wide" in built.traits.advice[-1].message


def other(**changed: Any) -> dict[str, Any]:
    return {"deny": [BILLING | changed]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give `allow` or `deny`"),
        ({"allow": TOPICS, "deny": TOPICS}, "give `allow` or `deny`"),
        ({"deny": {}}, "must be a list of 1 to"),
        ({"deny": []}, "must be a list of 1 to"),
        ({"deny": [BILLING] * (MOST_TOPICS + 1)}, "must be a list of 1 to"),
        ({"deny": ["billing"]}, "topic 1: must have `name`"),
        ({"deny": [BILLING, BILLING]}, "`billing` is the name of another topic"),
        (other(name=OFF_TOPIC), "means that a text is about no topic"),
        (other(name=" "), "`name` must be a text"),
        (other(about=7), "`about` must be a text"),
        (other(sample=["x"]), "unknown key `sample`"),
        (other(examples="x"), "`examples` must be a list of texts"),
        (other(examples=["x", " ", "y"]), "`examples` must be a list of texts"),
        (other(examples=["x", "y", "x"]), "3 to 20 different texts, and has 2"),
        (other(examples=[f"text {at}" for at in range(MOST + 1)]), "and has 21"),
        (other(threshold=2), "`threshold` must be a number from 0 to 1"),
        (other(threshold=True), "`threshold` must be a number from 0 to 1"),
        (other(about=".."), "the model knows no word of `..`"),
        (other(examples=["an invoice", "??", "a parcel"]), "topic 1: the model knows no word of"),
        ({"deny": TOPICS, "model": 7}, "must be the name of a model"),
        ({"deny": TOPICS, "least_words": 0}, "from 1 to 50"),
        ({"deny": TOPICS, "topics": 1}, "unknown option"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build("topic", "t", options, resources())


def test_a_process_without_the_model_says_so() -> None:
    with pytest.raises(OptionError, match="started without a model"):
        build("topic", "t", {"deny": TOPICS}, Resources())

    def missing(name: str) -> Any:
        raise ConfigError(f"no model `{name}` is installed")

    with pytest.raises(OptionError, match="no model `mine`"):
        build("topic", "t", {"deny": TOPICS, "model": "mine"}, Resources(embedder=missing, background=missing))


def test_examples_that_lie_where_ordinary_texts_do_are_refused() -> None:
    class OneVector(WordEmbedder):
        def embed(self, texts: Sequence[str]) -> list[bytes]:
            return [bytes([7] * self.dimensions) for _ in texts]

    alike = OneVector()
    given = Resources(embedder=lambda name: alike, background=lambda name: alike.embed(ordinary()))
    with pytest.raises(OptionError, match="say nothing that ordinary texts do not"):
        build("topic", "t", {"deny": TOPICS}, given)
