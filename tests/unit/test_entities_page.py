"""The page of personal data by country: it is what the code gives, its examples are found, and its misses are not."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.pii.extended import recognizers as extended
from guardproxy.policytest.invented import EXAMPLES
from guardproxy.testing import whole
from tools.pages.entities import MISSES, check, entities, example, page


def test_every_example_belongs_to_an_entity() -> None:
    """That each is found, the page itself asks: see `test_pages.py`."""
    assert set(EXAMPLES) == set(entities())


@pytest.mark.parametrize("entity", MISSES)
def test_a_known_miss_is_not_found(entity: str) -> None:
    """A miss that is mended leaves the page."""
    for text, why in MISSES[entity]:
        assert whole(check(entity), text.replace("{", "").replace("}", "")) == [], why


def test_an_entity_without_an_example_fails_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extended, "ENTITIES", frozenset({*extended.ENTITIES, "SHOE_SIZE"}))
    with pytest.raises(LookupError, match=r"`SHOE_SIZE` has no example: add one"):
        page()


def test_an_example_that_is_not_found_fails_with_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    example.cache_clear()
    for given in ("12", "my {12}"):
        monkeypatch.setitem(EXAMPLES, "MAC_ADDRESS", given)
        with pytest.raises(LookupError, match="the example of `MAC_ADDRESS` is not found"):
            example("MAC_ADDRESS")
