"""What is remembered of scans: whole texts in one look alone, told apart by everything that a check is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from msgspec import Struct, structs

from guardproxy.errors import Shortage
from guardproxy.findings import QUICK, Channel, Facts, Form, Scan, Traits, Window
from guardproxy.server.scanning import scan_cache
from guardproxy.server.scanning.scan_cache import MOST_CHARS, CheckKey, KnownText, ScanCache, Written, key_of

TEXT = "a text that is long enough for its scan to be remembered"
WINDOW = Window(Channel("request", "user", "messages[0].content"), TEXT, facts=Facts("POST /v1/messages", "m"))


@dataclass
class Check:
    name: str = "check"
    digest: str = "sha256:check"
    traits: Traits = QUICK

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        raise NotImplementedError


def key(window: Window = WINDOW, check: Any = None, tenant: str = "t") -> tuple[bytes, CheckKey] | None:
    known = KEPT.known(window, tenant, {})
    return (known.digest, key_of(check or Check())) if known else None


KEPT = ScanCache()
OTHERS: dict[type, Any] = {str: "another", bool: True}


def changed(value: Any) -> list[Any]:
    """The value with each of its members changed that is not a value itself, one at a time."""
    out = []
    is_struct = isinstance(value, Struct)
    for member in structs.fields(value) if is_struct else fields(value):
        old = getattr(value, member.name)
        if type(old) in OTHERS:
            new = {member.name: OTHERS[type(old)] if old != OTHERS[type(old)] else not old}
            out.append(structs.replace(value, **new) if is_struct else replace(value, **new))
    return out


def test_equal_jobs_have_one_key() -> None:
    assert key() == key(structs.replace(WINDOW))
    assert key() is not None


def test_what_jobs_share_is_written_once_and_changes_no_key() -> None:
    written: Written = {}
    windows = [structs.replace(WINDOW, text=text) for text in (TEXT, "x" * 50, "short", "")]
    found = [KEPT.known(window, "t", written) for window in windows]
    assert found == [KEPT.known(window, "t", {}) for window in windows]
    assert len({known.digest for known in found if known}) == len(windows)
    types = {type(member) for member, _ in written.values()}
    assert Facts in types
    assert Channel not in types


def test_the_checks_of_earlier_policies_are_forgotten() -> None:
    kept = ScanCache()
    for number in range(5 * scan_cache.MOST_CHECKS):
        known = kept.known(WINDOW, "t", {})
        assert known
        check = key_of(Check(digest=f"sha256:{number}"))
        kept.put(known, check, Scan((), 1, 1))
        assert check in known.scans
        assert len(known.scans) <= scan_cache.MOST_CHECKS


def test_windows_that_a_check_can_tell_apart_are_not_equal() -> None:
    """Equal windows share a digest, so their equality must look at every member, also at those that come later."""
    windows = [
        *(structs.replace(WINDOW, channel=channel) for channel in changed(WINDOW.channel)),
        *(structs.replace(WINDOW, facts=facts) for facts in changed(WINDOW.facts)),
        *changed(WINDOW),
        structs.replace(WINDOW, leaves=(1,)),
        structs.replace(WINDOW, start=1),
        structs.replace(WINDOW, settled=1),
        structs.replace(WINDOW, state=object()),
        structs.replace(WINDOW, facts=replace(WINDOW.facts, form=Form({"type": "object"}))),
    ]
    assert all(window != WINDOW for window in windows)
    assert all(member.compare for member in fields(Facts))


def test_few_members_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_cache, "MOST_SHARED", 2)
    written: Written = {}
    windows = [structs.replace(WINDOW, facts=Facts("POST /v1/messages", str(number))) for number in range(9)]
    found = [KEPT.known(window, "t", written) for window in windows]
    assert found == [KEPT.known(window, "t", {}) for window in windows]
    assert len(written) <= 2


@pytest.mark.parametrize("channel", changed(WINDOW.channel), ids=str)
def test_another_place_is_another_key(channel: Channel) -> None:
    assert key(structs.replace(WINDOW, channel=channel)) not in (None, key())


@pytest.mark.parametrize("facts", changed(WINDOW.facts), ids=str)
def test_another_fact_is_another_key(facts: Facts) -> None:
    assert key(structs.replace(WINDOW, facts=facts)) not in (None, key())


def test_another_check_tenant_or_text_is_another_key() -> None:
    @dataclass
    class Other(Check):
        pass

    keys = [
        key(),
        key(check=Check("other")),
        key(check=Check(digest="sha256:other")),
        key(check=Other()),
        key(tenant="u"),
        key(structs.replace(WINDOW, text=TEXT + ".")),
        key(structs.replace(WINDOW, facts=Facts("POST /v1/messagesm", ""))),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "more",
    [
        {"start": 3, "settled": 3},
        {"settled": 3},
        {"last": False},
        {"state": object()},
        {"text": "x" * (MOST_CHARS + 1)},
        {"facts": Facts(form=Form({"type": "object"}))},
        {"text": "half of a pair: \ud800"},
    ],
)
def test_what_is_not_a_whole_text_in_one_look_has_no_key(more: dict[str, Any]) -> None:
    assert key(structs.replace(WINDOW, **more)) is None


def test_a_new_member_of_the_facts_is_part_of_the_key_or_prevents_it() -> None:
    @dataclass(frozen=True, slots=True)
    class More(Facts):
        region: str = ""
        tools: tuple[str, ...] = ()
        handle: Any = None

    found = {
        key(structs.replace(WINDOW, facts=facts))
        for facts in (More(), More(region="eu"), More(tools=("a", "b")), More(tools=("ab",)), More(handle=3))
    }
    assert None not in found
    assert len(found) == 5
    assert key(structs.replace(WINDOW, facts=More(handle=[3]))) is None


def test_a_new_member_of_a_window_is_part_of_the_key() -> None:
    class More(Window, frozen=True):
        turn: int = 0

    first, second = (More(WINDOW.channel, TEXT, turn=turn) for turn in (1, 2))
    assert key(first) != key(second)


def test_what_gave_no_verdict_is_not_remembered() -> None:
    kept = ScanCache()
    for scan in (Scan((), 0, 0, "OSError"), Scan((), 0, 0, no_capacity=Shortage.LATE)):
        known = kept.known(WINDOW, "t", {})
        assert known
        kept.put(known, key_of(Check()), scan)
        assert known.scans == {}
        assert kept.known(WINDOW, "t", {}) is not known, "nothing is kept of a text without scans"


def test_what_was_used_longest_ago_goes_first() -> None:
    kept = ScanCache(2)

    def known(text: str) -> KnownText:
        found = kept.known(structs.replace(WINDOW, text=text), "t", {})
        assert found
        return found

    for text in ("a", "b"):
        kept.put(known(text), key_of(Check()), Scan((), 1, 1))
    assert known("a").scans
    kept.put(known("c"), key_of(Check()), Scan((), 1, 1))
    assert not known("b").scans
    assert known("a").scans == known("c").scans == {key_of(Check()): Scan((), 1, 1)}


def test_the_scans_of_the_checks_of_a_text_are_kept_together() -> None:
    kept, first, second = ScanCache(), Check("a"), Check("b")
    known = kept.known(WINDOW, "t", {})
    assert known
    kept.put(known, key_of(first), Scan((), 1, 1))
    kept.put(known, key_of(second), Scan((), 2, 2))
    assert kept.known(WINDOW, "t", {}) is known
    assert {name: scan.settled for (_, name, _), scan in known.scans.items()} == {"a": 1, "b": 2}
