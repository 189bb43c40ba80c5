"""Thresholds of topics, fitted to examples and other texts."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import build
from guardproxy.checks.topic import TopicCheck
from guardproxy.errors import ConfigError
from guardproxy.lab.learning.topics import NEAREST, TopicFit, fitted_topics
from tests.kit.topics import BILLING, PARCELS, WordEmbedder, ordinary, resources

OWN = ["where is the invoice for the boats", "the payment of the crew", "boats and parcels in the harbour"]


def fits(options: dict[str, Any], others: list[str] | None = None, share: float | None = None) -> list[TopicFit]:
    way, found = fitted_topics(options, WordEmbedder(), ordinary(), others or [], share)
    assert way in options
    return found


@pytest.mark.parametrize("way", ["allow", "deny"])
def test_the_threshold_is_that_of_a_check_without_one(way: str) -> None:
    check = build("topic", "t", {way: [BILLING, PARCELS]}, resources())
    assert isinstance(check, TopicCheck)
    found = fits({way: [BILLING | {"threshold": 0.9}, PARCELS]})
    assert [fit.topic.threshold for fit in found] == [topic.threshold for topic in check.topics]
    assert [fit.name for fit in found] == ["billing", "parcels"]
    assert [fit.topic.topic.threshold for fit in found] == [0.9, None]


def test_texts_of_your_own_raise_a_threshold_that_they_reach() -> None:
    (before, _), (after, _) = (fits({"deny": [BILLING, PARCELS]}, own, 0.0) for own in ([], OWN))
    assert after.topic.threshold > before.topic.threshold
    assert after.nearest[0][1] in OWN
    assert len(after.nearest) == NEAREST
    assert (before.others.value, after.others.value) == (0.0, 0.0)


def test_a_larger_share_lowers_a_threshold() -> None:
    strict, lax = (fits({"deny": [BILLING]}, share=share)[0] for share in (0.01, 0.3))
    assert strict.topic.threshold > lax.topic.threshold
    assert strict.others.value <= 0.01


def test_the_result_as_json() -> None:
    (fit,) = fits({"deny": [BILLING]})
    content = fit.as_json()
    assert content.keys() == {"topic", "threshold", "given", "examples", "others", "near", "nearest"}
    assert (content["topic"], content["given"]) == ("billing", None)
    assert content["examples"]["low"] <= content["examples"]["share"] <= content["examples"]["high"]
    assert len(content["nearest"]) == NEAREST


def test_options_that_the_check_refuses_are_refused() -> None:
    with pytest.raises(ConfigError, match="deny: give `allow` or `deny`"):
        fitted_topics({}, WordEmbedder(), ordinary())
