"""Values hidden in every way are found, over all that hides them; and what is not hidden is found as before."""

from __future__ import annotations

import base64
import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from guardproxy.checks import Check, Resources, build
from guardproxy.checks._shared.evasions.folding import RUN_LIMIT, table
from guardproxy.checks._shared.evasions.unfolding import PROFILES, UNDECODED, Unfolding, unfolding
from guardproxy.errors import OptionError
from guardproxy.findings import QUICK, Advice, Finding, Scan, Traits, Window
from tests.kit.check_cost import steps
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.kit.evasions import CARD, DASHES, DIGITS, INVISIBLE, KEY, MAIL, SECRETS, SPACES, WAYS, base, digits

OPTIONS: dict[str, dict[str, Any]] = {
    "pii": {"entities": ["CREDIT_CARD", "EMAIL_ADDRESS", "PHONE_NUMBER"], "parity": "strict"},
    "secrets": {},
    "words": {"patterns": ["(?i)project[ -]?falcon"]},
}
USES = {"words": "pattern"}


def _check(name: str, profile: str) -> Check:
    return build(USES.get(name, name), name, OPTIONS[name] | {"evasions": profile}, Resources())


CHECKS = {(name, profile): _check(name, profile) for name in OPTIONS for profile in PROFILES}


def _found(name: str, profile: str, text: str) -> list[str]:
    return [text[each.start : each.end] for each in whole(CHECKS[name, profile], text)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SECRETS)
def test_a_hidden_value_is_found_over_all_that_hides_it(name: str, way: str) -> None:
    hide, mildest = WAYS[way]
    value = hide(SECRETS[name])
    text = f"Well, ({value}) it is."
    if value == SECRETS[name]:
        return  # nothing of this value can be hidden in this way
    assert whole(CHECKS[name, "off"], text) == []
    for profile in ("standard", "strict"):
        found = whole(CHECKS[name, profile], text)
        covered = [text[each.start : each.end] for each in found]
        if mildest == "never":
            assert found == []
        elif mildest == "undecoded":
            assert [(each.label, covered[0]) for each in found] == [(UNDECODED, value)]
        elif profile == "strict" or mildest == "standard":
            (only,) = covered
            assert only in value
            assert len(only) >= len(value) - len("data:text/plain;base64,")
            assert UNDECODED not in {each.label for each in found}
        else:
            assert found == []
        assert_every_split(CHECKS[name, profile], text)


@pytest.mark.parametrize("sign", INVISIBLE.values(), ids=list(INVISIBLE))
def test_invisible_characters(sign: str) -> None:
    assert _found("pii", "standard", f"to {sign.join(MAIL)}.") == [sign.join(MAIL)]
    assert _found("secrets", "standard", f"to {sign.join(KEY)}.") == [sign.join(KEY)]


@pytest.mark.parametrize("sign", [*DASHES, *SPACES])
def test_dashes_and_spaces(sign: str) -> None:
    value = CARD.replace(" ", sign)
    assert _found("pii", "standard", f"to {value}.") == [value]


@pytest.mark.parametrize("zero", DIGITS.values(), ids=list(DIGITS))
def test_digits(zero: str) -> None:
    value = digits(CARD, zero)
    assert _found("pii", "standard", f"to {value}.") == [value]


def test_what_changes_its_length_does_not_move_what_follows() -> None:
    text = f"\ufdfa İ ﬁ {CARD} ﬁ {base(MAIL)} \ufdfa 4111\u200b 1111 1111 1111"
    assert _found("pii", "standard", text) == [CARD, base(MAIL), "4111\u200b 1111 1111 1111"]


def test_engines_agree_on_digits_once_folded() -> None:
    check = build("pattern", "words", {"patterns": [r"\b\d{4}-\d{4}\b"]}, Resources())
    text = "see ٤١١١-١١١١ and 4111-1111"
    assert [text[each.start : each.end] for each in whole(check, text)] == ["٤١١١-١١١١", "4111-1111"]


def test_a_word_of_context_may_be_hidden() -> None:
    check = build("pii", "pii", {"entities": ["US_PASSPORT"]}, Resources())
    text = "the pass\u200bport is 912803456"
    assert [text[each.start : each.end] for each in whole(check, text)] == ["912803456"]


def test_nothing_that_is_found_in_the_text_as_it_stands_is_lost() -> None:
    text = f"{KEY}\u200bX and a@example.com\u200bb@example.org"  # joined, neither would be one
    assert _found("secrets", "standard", text)[0] == KEY
    assert {"a@example.com", "b@example.org"} <= set(_found("pii", "standard", text))


def test_a_token_is_found_as_it_stands_and_what_is_in_it_too() -> None:
    parts = [
        base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (b'{"alg": "HS256"}', b'{"mail": "a@b.com"}')
    ]
    token = ".".join([*parts, "c2lnbmF0dXJlLXNpZ25hdHVyZQ"])
    assert _found("secrets", "standard", f"x {token}") == [token]
    assert _found("secrets", "standard", f"x {base(token)}") == [base(token)]
    assert _found("pii", "standard", f"x {token}") == [parts[1]]


def test_findings_of_one_label_that_overlap_become_one() -> None:
    text = "4111 1111 1111 11\u200b11 and a 212-555\u200b-0142"
    found = whole(CHECKS["pii", "standard"], text)
    for label in {each.label for each in found}:
        spans = [(each.start, each.end) for each in found if each.label == label]
        assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert {text[each.start : each.end] for each in found} >= {"4111 1111 1111 11\u200b11", "212-555\u200b-0142"}


def test_off_is_the_check_itself() -> None:
    inner = _check("secrets", "off")
    assert unfolding(inner, {"evasions": "off"}) is inner
    assert isinstance(unfolding(inner, {}), Unfolding)


@pytest.mark.parametrize("value", ["hard", True, None, 1, ["strict"]])
def test_a_profile_that_does_not_exist(value: object) -> None:
    for use, options in (("pii", {}), ("secrets", {}), ("pattern", {"words": ["x"]})):
        with pytest.raises(OptionError) as caught:
            build(use, use, {**options, "evasions": value}, Resources())
        assert (caught.value.key, "off, standard, strict" in str(caught.value)) == ("evasions", True)


def test_the_digest_tells_profiles_and_checks_and_unicode_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [CHECKS[key].digest for key in CHECKS]
    assert len(set(digests)) == len(CHECKS)
    before = _check("words", "standard").digest
    assert before == CHECKS["words", "standard"].digest
    monkeypatch.setattr(unicodedata, "unidata_version", "99.0.0")
    assert _check("words", "standard").digest != before
    assert _check("words", "off").digest == CHECKS["words", "off"].digest


UNUSUAL = Traits(is_sensitive=False, is_raw=True, judges_whole=True, labels=frozenset("Z"), advice=(Advice("x", "y"),))


@dataclass
class Fake:
    """A check for these tests: finds `z`, settles as it is told."""

    name: str = "fake"
    digest: str = "sha256:0"
    step: int = 1
    error: str = ""
    traits: Traits = UNUSUAL

    def scan(self, windows: Sequence[Window]) -> list[Scan]:
        return [self._scan(window) for window in windows]

    def _scan(self, window: Window) -> Scan:
        if self.error and self.error in window.text:
            return Scan((), window.settled, window.start, "ValueError")
        end = window.start + len(window.text)
        if not window.last:
            end = max(window.settled, end - len(window.text) % self.step)
        found = [
            Finding(window.start + at, window.start + at + 1, self.name, "Z", 0.5)
            for at, each in enumerate(window.text)
            if each == "z" and window.settled <= window.start + at < end
        ]
        return Scan(tuple(found), end, end)


def test_what_a_check_says_of_itself_is_kept() -> None:
    wrapped = unfolding(Fake(), {})
    assert wrapped.name == "fake"
    assert wrapped.traits == replace(Fake().traits, labels=frozenset(("Z", UNDECODED)))
    assert unfolding(Fake(traits=Traits(is_slow=False)), {}).traits == Traits(is_slow=False)


@pytest.mark.parametrize("text", ["an ! here", "an\u200b ! here", "a %21 b", "x\u200by !"])
def test_a_check_that_fails_fails(text: str) -> None:
    wrapped = unfolding(Fake(error="!"), {})
    (scan,) = wrapped.scan([Window(CHANNEL, text, 0, 0, True)])
    assert scan == Scan((), 0, 0, "ValueError")
    (scan,) = wrapped.scan([Window(CHANNEL, text + " ", 7, 8, False)])
    assert (scan.findings, scan.settled, scan.error) == ((), 8, "ValueError")


def test_a_check_that_fails_in_a_later_piece_fails() -> None:
    small = Unfolding(Fake(error="!"), table(False, 64), "sha256:1", QUICK)
    text = "z " + base("z" * 90) + "!"
    (scan,) = small.scan([Window(CHANNEL, text)])
    assert scan.error == "ValueError"
    (scan,) = small.scan([Window(CHANNEL, "!" + text)])
    assert (scan.error, scan.settled) == ("ValueError", 0)


def test_views_in_which_a_check_is_never_equally_far_are_held_to_the_end() -> None:
    wrapped = unfolding(Fake(step=5), {})
    text = "az \u200b" + "b\u200bz " * 30
    assert scan_in_chunks(wrapped, text, range(1, len(text), 3)) == whole(wrapped, text)


def test_prose_is_held_for_a_word() -> None:
    for name in OPTIONS:
        held = held_words(CHECKS[name, "standard"], PROSE)
        assert max(held) <= 2
        assert sorted(held)[len(held) // 2] <= 1


def _image(size: int) -> str:
    return "data:image/png;base64," + base64.b64encode(random.Random(3).randbytes(size)).decode()


def test_an_image_goes_on_and_is_no_finding() -> None:
    text = f"Look: {_image(120_000)} and {KEY}"
    for profile in ("standard", "strict"):
        held: list[int] = []
        found = scan_in_chunks(CHECKS["secrets", profile], text, range(4000, len(text), 4000), held)
        assert found == whole(CHECKS["secrets", profile], text) == whole(CHECKS["secrets", "off"], text)
        assert [text[each.start : each.end] for each in found] == [KEY]
        assert max(held) <= 2 * RUN_LIMIT


def test_text_in_a_run_that_is_too_long_is_said_to_be_there() -> None:
    run = base((PROSE + KEY) * 80)
    text = f"Look: {run} and {KEY}"
    found = whole(CHECKS["secrets", "standard"], text)
    end = 6 + len(run)
    assert [(each.label, each.start, each.end) for each in found] == [
        *((UNDECODED, at, min(at + RUN_LIMIT, end)) for at in range(6, end, RUN_LIMIT)),
        ("AWS_ACCESS_KEY_ID", len(text) - len(KEY), len(text)),
    ]
    assert scan_in_chunks(CHECKS["secrets", "standard"], text, range(9000, len(text), 9000)) == found


class Counting(Fake):
    seen = 0

    def _scan(self, window: Window) -> Scan:
        self.seen += len(window.text)
        keep = window.settled if "\u200b" in window.text else window.start + len(window.text)
        return Scan((), window.start + len(window.text) if window.last else keep, window.settled)


def test_a_text_in_which_the_views_never_agree_costs_linear_time() -> None:
    seen = []
    for count in (1000, 4000):
        inner = Counting()
        text = "a\u200bb " * count
        assert scan_in_chunks(unfolding(inner, {}), text, range(5, len(text), 5)) == []
        seen.append(inner.seen)
    assert seen[1] < 5 * seen[0]


def test_what_is_held_of_one_text_does_not_change_when_another_is_scanned() -> None:
    inner = Counting()
    check = unfolding(inner, {})
    window = Window(CHANNEL, "\u200ba " * 400, 0, 0, False)
    (stuck,) = check.scan([window])
    asked = inner.seen
    check.scan([window])
    assert inner.seen == 2 * asked, "the same text of another exchange is scanned as if it were the first"
    check.scan([structs.replace(window, state=stuck.state)])
    assert inner.seen == 2 * asked, "the text itself is not scanned again before it has grown"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("pii", "QUJDREVGR0hJSktM=;"),  # always something settled, but all is to be read again
        ("pii", "\u200b"),  # one word without end
        ("pii", "aa:bb:cc:"),  # the check itself waits
        ("secrets", "&#49;%41"),
    ],
)
def test_what_is_read_again_grows_with_the_text_alone(name: str, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are counted by their characters where a scan was made; in a square, four times the text is sixteen times."""
    seen = []
    for size in (16_384, 65_536):
        read = 0
        quick = Unfolding._quick

        def counting(check: Unfolding, window: Window, quick: Any = quick) -> Scan | None:
            nonlocal read
            read += len(window.text)
            return quick(check, window)  # type: ignore[no-any-return]

        monkeypatch.setattr(Unfolding, "_quick", counting)
        text = (unit * (size // len(unit) + 1))[:size]
        scan_in_chunks(CHECKS[name, "standard"], text, range(512, size, 512))
        monkeypatch.setattr(Unfolding, "_quick", quick)
        seen.append(read)
    assert seen[1] < 6 * seen[0]


def test_a_run_is_said_to_be_undecoded_once() -> None:
    run = base(base("%25" + b"ABCDEFGHIJKL".hex()))
    assert _found("words", "standard", f"x {run} y") == [run]


@pytest.mark.parametrize("size", [15, 16, 17, 31, 32, 33, 48])
def test_words_about_as_long_as_is_read(size: int) -> None:
    small = Unfolding(_check("secrets", "off"), table(False, 16), "sha256:1", QUICK)
    assert_every_split(small, f"x {'a' * size} password=hunter2abcX9 {'a' * size}")


def test_a_run_that_is_not_too_long_is_read() -> None:
    run = base(PROSE * 25 + CARD)
    assert RUN_LIMIT // 2 < len(run) < RUN_LIMIT
    (found,) = whole(CHECKS["pii", "standard"], f"x {run}.")
    assert (found.label, found.start, found.end) == ("CREDIT_CARD", 2, 2 + len(run))


def test_the_cost_is_linear() -> None:
    took = []
    for count in (1, 4):
        text = f"{_image(30_000)} and {base(CARD)} \u200bor 4111\u200b-1111 " * count
        took.append(steps(partial(scan_in_chunks, CHECKS["secrets", "standard"], text, range(500, len(text), 500))))
    assert took[1] < 5 * took[0]
