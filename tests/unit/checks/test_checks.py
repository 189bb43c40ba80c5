"""Finding checks by name: the folder's own, other packages' by entry point, and unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from guardproxy.checks._contract import Option, Resources, build, known, options
from guardproxy.errors import OptionError, PluginError, PolicyError
from guardproxy.redaction.placeholders import Restoring
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
    assert "foreign" in known()
    assert options("foreign") == OPTIONS
    with pytest.raises(OptionError, match="must be there"):
        build("foreign", "mine", {}, Resources())


def raising(name: str, options: Mapping[str, Any], resources: Resources) -> Restoring:
    raise RuntimeError("no licence")


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
    with pytest.raises(OptionError, match="known checks: http, json_schema, pattern, pii, secrets, supervisor"):
        build("_contract", "mine", {}, Resources())
