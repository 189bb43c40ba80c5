"""Finding checks by name (the folder's own, other packages' by entry point, unknown ones), and their traits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy.checks import QUICK, Option, Resources, Traits, build, check_names, options
from guardproxy.errors import OptionError, PluginError, PolicyError
from guardproxy.findings import ALL_PLACES, Finding, Form, Scan, Window
from guardproxy.redaction.placeholders import Restoring
from guardproxy.testing import assert_promise
from tests.kit.play import policy_set
from tests.kit.plugins import Install

OPTIONS = {"word": Option("A word.", {"type": "string"})}


def foreign(name: str, options: Mapping[str, Any], resources: Resources) -> Restoring:
    """A check of another package."""
    if "word" not in options:
        raise OptionError("word", "must be there")
    return Restoring({}, name=name, digest="sha256:foreign")


def test_another_package_adds_a_check_by_entry_point(install: Install) -> None:
    install("guardproxy.checks", "foreign", foreign)
    assert build("foreign", "mine", {"word": "x"}, Resources()).name == "mine"
    assert "foreign" in check_names()
    assert options("foreign") == OPTIONS
    with pytest.raises(OptionError, match="must be there"):
        build("foreign", "mine", {}, Resources())


def raising(name: str, options: Mapping[str, Any], resources: Resources) -> Restoring:
    raise RuntimeError("no licence")


def paired(name: str, partner: Any) -> Restoring:
    return Restoring({}, name=name, digest="d", traits=Traits(partner=partner))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (ImportError("no module named x"), "cannot be loaded: ImportError: no module named x"),
        (raising, "failed: RuntimeError: no licence"),
        (
            lambda name, options, resources: Restoring({}, name="other", digest="d"),
            "the name it was given, and a digest",
        ),
        (lambda name, options, resources: object(), "the name it was given, and a digest"),
        (lambda name, options, resources: SimpleNamespace(name=name, digest="d"), "has traits"),
        (lambda name, options, resources: SimpleNamespace(name=name, digest="d", traits={}), "has traits"),
        (
            lambda name, options, resources: paired(name, SimpleNamespace(name=name, digest="p")),
            r"has a partner that has traits",
        ),
        (
            lambda name, options, resources: paired(name, Restoring({}, name=name, digest="p")),
            "has a partner whose `partner_of` is the digest of the check",
        ),
    ],
)
def test_a_broken_check_says_whose_it_is(what: Any, said: str, install: Install) -> None:
    install("guardproxy.checks", "foreign", what, "acme-checks 2.1")
    with pytest.raises(PluginError, match=r"`foreign` \(guardproxy.checks\) of acme-checks 2.1 .*" + said):
        build("foreign", "mine", {}, Resources())


def test_a_broken_check_has_no_options(install: Install) -> None:
    install("guardproxy.checks", "foreign", ImportError("x"))
    assert options("foreign") == {}


def test_a_broken_check_is_told_at_its_place_in_the_policy(install: Install) -> None:
    install("guardproxy.checks", "foreign", raising)
    with pytest.raises(
        PolicyError, match=r"policy0.yaml:4:3: the plug-in `foreign` \(guardproxy.checks\) of acme 1.0 failed"
    ):
        policy_set("policy: p\nrules: [{id: r, when: one, action: block}]\nchecks:\n  one: {use: foreign}\n")


def test_an_unknown_check_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="did you mean `secrets`"):
        build("secret", "mine", {}, Resources())
    with pytest.raises(OptionError, match="known checks: " + ", ".join(check_names())):
        build("_contract", "mine", {}, Resources())


@dataclass(frozen=True)
class Plain:
    """A check with the traits that a test gives it. It finds every `x`."""

    traits: Any
    name: str = "plain"
    digest: str = "sha256:plain"

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        end = window.start + len(window.text)
        places = (window.start + at for at, char in enumerate(window.text) if char == "x")
        findings = (Finding(at, at + 1, self.name, "X", 1.0) for at in places if at >= window.settled)
        return Scan(tuple(findings), end, end)


PARTNER = Plain(Traits(partner_of="sha256:plain"), digest="sha256:partner")


@pytest.mark.parametrize(
    "traits", [Traits(), QUICK, Traits(labels=frozenset("XY")), Traits(partner=PARTNER), Traits(looks_at=ALL_PLACES)]
)
def test_traits_that_agree_pass_the_tests_of_plug_ins(traits: Traits) -> None:
    assert_promise(Plain(traits), ["x", "y"], examples=5)


@pytest.mark.parametrize(
    ("traits", "said"),
    [
        ({}, "must have `traits`"),
        (Traits(looks_at=frozenset()), "inspects no text"),
        (Traits(own_form=Form({})), "only a check that needs a schema"),
        (Traits(labels=frozenset("Y")), r"do not declare the labels \['X'\]"),
        (Traits(partner=Plain(Traits(), name="other")), "a partner has the name of its check"),
        (Traits(partner=Plain(Traits(), digest="d")), "a partner names the digest of its check"),
    ],
)
def test_traits_that_do_not_agree_fail_them(traits: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        assert_promise(Plain(traits), ["x"], examples=5)


def test_every_trait_has_the_safe_default() -> None:
    traits = Traits()
    assert traits.is_sensitive
    assert traits.is_slow
    assert traits.looks_at == ALL_PLACES
    assert not (traits.is_raw)
    assert not (traits.needs_form)
    assert not (traits.judges_whole)
    assert not (traits.offers_repairs)
