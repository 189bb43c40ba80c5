"""Lists of tools: look-alikes of a denied name are denied, and look-alikes of an allowed name are not allowed."""

from __future__ import annotations

import pytest

from guardproxy.conditions import ToolNames, is_listed, is_named


@pytest.mark.parametrize(
    ("name", "allowed", "denied"),
    [
        ("refund", True, True),
        ("REFUND", True, True),
        ("mail_send", True, False),
        ("refund_all", False, False),
        ("shop__refund", False, True),
        ("ｒｅｆｕｎｄ", False, True),
        ("re\u200bfund", False, True),
        ("r\u0435fund", False, True),
        ("refund ", False, True),
        ("x" * 300, False, True),
        ("", False, False),
    ],
)
def test_spellings(name: str, allowed: bool, denied: bool) -> None:
    assert is_listed(name, ("refund", "mail_*")) is allowed
    assert is_named(name, ("refund",)) is denied
    assert is_listed(name, ("*",))
    assert is_named(name, ("*",))


def test_a_list_for_all_and_for_a_server() -> None:
    names = ToolNames(("search", "send"), ("wipe",), (("mail*", ToolNames(None, ("send",))),))
    assert [name for name in ("search", "send", "wipe", "other", "") if names.refuses(name)] == ["wipe", "other", ""]
    assert names.refuses("send", "mail-eu")
    assert not names.refuses("send", "shop")
    assert names.denies("wipe")
    assert names.denies("send", "mail")
    assert not names.denies("other")
    assert ToolNames(None, ("a",)).refuses("")
    assert not ToolNames().refuses("")
