"""The check `links`: its options, and attacks in many spellings, which renderers and a browser's rules confirm."""

from __future__ import annotations

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks._shared.links.places import KINDS
from guardproxy.checks.links import DEFAULTS, LABELS
from guardproxy.errors import OptionError
from tests.kit.checks import PROSE, assert_every_split, whole
from tests.kit.links import ELSEWHERE, EVIL, FOLLOWED, followed, neutralised, targets

OK = "ok.example"
CHECK = build("links", "links", {"allow": [OK]}, Resources())


@pytest.mark.parametrize("spelling", FOLLOWED)
def test_what_a_browser_follows_is_found_at_every_cut_and_taken_away(spelling: str) -> None:
    text = spelling.replace("✱", EVIL)
    assert followed(text) - {OK}, "the renderers and the rules of browsers follow it"
    assert assert_every_split(CHECK, text)
    assert followed(neutralised(CHECK, text)) <= {OK}


@pytest.mark.parametrize("spelling", ELSEWHERE)
def test_what_other_clients_follow_is_found(spelling: str) -> None:
    assert assert_every_split(CHECK, spelling.replace("✱", EVIL))


def test_there_are_enough_spellings() -> None:
    assert len(set(FOLLOWED)) == len(FOLLOWED) > 200
    assert len(set(ELSEWHERE)) == len(ELSEWHERE) > 40


@pytest.mark.parametrize(
    "spelling", [text for text in FOLLOWED if OK not in text and "//✱/" in text and "&" not in text]
)
def test_a_neutral_address_has_no_address_any_more(spelling: str) -> None:
    text = neutralised(CHECK, spelling.replace("✱", EVIL))
    assert whole(CHECK, text) == []
    assert EVIL.partition(".")[0] in text, "the reader can still read it"


def test_kinds_and_hosts_are_chosen() -> None:
    text = "![a](https://ok.example/a) ![b](https://a.ok.example/b) [c](https://c.example) d.example/d"

    def labels(**options: object) -> list[str]:
        return [finding.label for finding in whole(build("links", "l", options, Resources()), text)]

    assert labels() == ["IMAGE", "IMAGE", "LINK"]
    assert labels(allow=["ok.example"]) == ["IMAGE", "LINK"]
    assert labels(allow=["*.OK.example", "c.example"]) == ["IMAGE"]
    assert labels(kinds=["domain"]) == ["DOMAIN"]
    assert labels(kinds=["bare"]) == []
    assert labels(allow=["*.ok.example", "ok.example", "c.example"], schemes=["http"]) == ["IMAGE", "IMAGE", "LINK"]


def test_ordinary_text_has_no_links() -> None:
    assert whole(CHECK, PROSE) == []


def test_the_digest_tells_options_apart() -> None:
    digests = {
        build("links", "l", options, Resources()).digest
        for options in ({}, {"allow": [OK]}, {"kinds": ["image"]}, {"schemes": ["https"]})
    }
    assert len(digests) == 4
    assert build("links", "a", {"allow": [OK]}, Resources()).digest == CHECK.digest


def test_every_kind_has_a_label_and_only_names_are_left_out_by_default() -> None:
    assert set(LABELS) == {*KINDS}
    assert {*KINDS} - {*DEFAULTS} == {"domain"}
    assert CHECK.traits.labels == frozenset(LABELS[kind] for kind in DEFAULTS)


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"hosts": []}, "hosts", "unknown option"),
        ({"allow": "ok.example"}, "allow", "list of words"),
        ({"allow": ["https://ok.example"]}, "allow", "is not a host"),
        ({"allow": ["ok.*"]}, "allow", "is not a host"),
        ({"kinds": []}, "kinds", "non-empty list"),
        ({"kinds": "image"}, "kinds", "non-empty list"),
        ({"kinds": ["images"]}, "kinds", "did you mean `image`"),
        ({"kinds": ["xyz"]}, "kinds", "known: image"),
        ({"schemes": ["JavaScript"]}, "schemes", "runs code"),
        ({"schemes": [1]}, "schemes", "list of words"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        build("links", "l", options, Resources())
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://a.example/x", ["a.example"]),
        (" \x01//a.example", ["a.example"]),
        ("h\ntt\tps:a.example", ["a.example"]),
        ("\\\\u@A.example\\x", ["a.example"]),
        ("https://a[.]example", []),
        ("/x", []),
        ("x:y", ["x:"]),
        ("mailto:a@b", []),
        ("", []),
        ("https://[::1]/", ["[::1]"]),
        ("//a|b", []),
        ("https:", []),
        ("x:", []),
    ],
)
def test_the_oracle_parses_as_browsers_do(address: str, expected: list[str]) -> None:
    assert list(targets(address)) == expected
