"""What other packages bring: found by name, refused where a name is taken, named where it is broken."""

from __future__ import annotations

import pytest

from guardproxy import plugins
from guardproxy.errors import PluginError
from tests.kit.plugins import Install


def test_nothing_is_installed_until_something_is(install: Install) -> None:
    assert plugins.names(plugins.CHECKS) == []
    assert plugins.load(plugins.CHECKS, "foreign") is None
    install(plugins.CHECKS, "foreign", 1)
    install(plugins.SINKS, "other", 2, "zeta 0.1")
    assert plugins.names(plugins.CHECKS) == ["foreign"]
    assert plugins.load(plugins.CHECKS, "foreign") == 1
    assert [str(one) for group in plugins.GROUPS for one in plugins.installed_plugins(group)] == [
        "`foreign` (guardproxy.checks) of acme 1.0",
        "`other` (guardproxy.sinks) of zeta 0.1",
    ]


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    install(plugins.CHECKS, "foreign", 1)
    install(plugins.CHECKS, "foreign", 2, "zeta 0.1")
    install(plugins.CHECKS, "fine", 3)
    with pytest.raises(
        PluginError, match=r"of acme 1.0 and `foreign` \(guardproxy.checks\) of zeta 0.1 have the same name"
    ):
        plugins.load(plugins.CHECKS, "foreign")


def test_a_name_of_guardproxys_own_is_refused(install: Install) -> None:
    install(plugins.ACTIONS, "block", 1, "")
    with pytest.raises(
        PluginError, match=r"`block` .* of an unknown package has one of guardproxy's own names; uninstall it"
    ):
        plugins.refuse_clashes(plugins.ACTIONS, ("block",))


def test_what_cannot_be_loaded_says_whose_it_is(install: Install) -> None:
    install(plugins.WIRE, "foreign", SyntaxError("broken"))
    with pytest.raises(
        PluginError, match=r"`foreign` \(guardproxy.wire\) of acme 1.0 cannot be loaded: SyntaxError: broken"
    ):
        plugins.load(plugins.WIRE, "foreign")
    assert plugins.whose(plugins.WIRE, "foreign").endswith("of acme 1.0")
    assert plugins.whose(plugins.WIRE, "gone") == "`gone` (guardproxy.wire)"
