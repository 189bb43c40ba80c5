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


@pytest.mark.parametrize("glob", ["delete_user", "delete-user", "deleteUser", "delete.user", "DELETE_USER"])
@pytest.mark.parametrize(
    "name",
    [
        *("delete_user", "Delete-User", "deleteUser", "DeleteUser", "delete.user", "delete user", "delete__user"),
        *("DELETEUSER", "delete_user_", "delete_user/", "delete_user:v1", "shop/deleteUser", "shop.1.delete-user"),
        *("d\u0435lete_user", "\uff44elete_user", "delete\u00adUser", "delete_user()", "delete%5fuser"),
    ],
)
def test_another_spelling_of_a_denied_name_is_denied(glob: str, name: str) -> None:
    assert ToolNames(deny=(glob,)).refuses(name)
    assert ToolNames(deny=("x", glob)).denies(name)
    assert ToolNames(servers=((glob, ToolNames(deny=("x",))),)).refuses("x", name), "so is the name of a server"


@pytest.mark.parametrize("name", ["delete_users", "undelete_user", "delete", "user", "mailbox", "shop_delete_user"])
def test_another_name_is_not_denied(name: str) -> None:
    assert not ToolNames(deny=("delete_user", "mail_*", "_")).refuses(name)


def test_globs_in_other_spellings() -> None:
    assert [name for name in ("mailSend", "mail.send", "MAIL-SEND", "mailbox") if is_named(name, ("mail_*",))] == [
        *("mailSend", "mail.send", "MAIL-SEND")
    ]
    assert is_named("toolB-1", ("tool_[a-c]_?",))
    assert not is_named("toolD-1", ("tool_[a-c]_?",)), "a set of characters keeps its signs"
    assert not is_named("__", ("a_b",))


@pytest.mark.parametrize(
    "name", ["delete-user", "deleteUser", "shop.delete_user", "delete_user:v1", "d\u0435lete_user"]
)
def test_another_spelling_of_an_allowed_name_is_not_allowed(name: str) -> None:
    assert ToolNames(allow=("delete_user",)).refuses(name)


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
