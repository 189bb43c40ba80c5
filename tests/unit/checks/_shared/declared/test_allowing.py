"""Allow lists: a value that a policy allows is no finding; whatever has more or other characters stays one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
import re2

from guardproxy.checks import ALLOW, Check, Resources, build, options, own_names, with_partner
from guardproxy.checks._shared.declared.allowing import VALUE_CHARS_LIMIT, VALUES_LIMIT, Allowing, AllowList
from guardproxy.checks._shared.pii.engine import Span
from guardproxy.checks.pii import beyond, resolve
from guardproxy.errors import OptionError
from guardproxy.findings import Window
from guardproxy.testing import assert_promise
from tests.kit.checks import CHANNEL, assert_every_split, scan_in_chunks, whole
from tests.kit.evasions import WAYS
from tests.kit.pii import IDENTIFIERS, People

PHONE, MAIL, IBAN, KEY = (
    "+1 212 555 0100",
    "support@clinic.example",
    "GB82 WEST 1234 5698 7654 32",
    "AKIAQ4ZTHX7WVKPDSRLM",
)
KINDS: dict[str, dict[str, Any]] = {
    "pii": {"allow": [PHONE, MAIL, IBAN], "allow_patterns": [r"[a-z.]+@ok\.example"]},
    "secrets": {"allow": [KEY]},
    "pattern": {"patterns": [r"C-[0-9]{4}(?:-[0-9]{2})?"], "allow": ["C-0000"], "allow_patterns": ["C-00[0-9]{2}-99"]},
}
CHECKS: dict[str, Any] = {use: build(use, use, chosen, Resources()) for use, chosen in KINDS.items()}
PLAIN = {use: build(use, use, {**chosen, **{key: [] for key in ALLOW}}, Resources()) for use, chosen in KINDS.items()}


def found(check: Check, text: str) -> list[str]:
    return [text[finding.start : finding.end] for finding in whole(check, text)]


def allowed(check: Check, text: str) -> list[str]:
    (scan,) = check.scan([Window(CHANNEL, text)])
    return [text[finding.start : finding.end] for finding in scan.allowed]


CASES = [
    ("pii", f"call {PHONE} or", PHONE, True),
    ("pii", "call +1-212-555-0100, please", "+1-212-555-0100", True),
    ("pii", "call 1 (212) 555.0100 now", "1 (212) 555.0100", True),
    ("pii", "call +1 212 555 0100 ext. 5", "+1 212 555 0100 ext. 5", False),
    ("pii", "call +1 212 555 0101", "+1 212 555 0101", False),
    ("pii", "call +1\u00a0212\u00a0555\u00a00100", "+1\u00a0212\u00a0555\u00a00100", False),
    ("pii", "write to Support@CLINIC.example.", "Support@CLINIC.example", True),
    ("pii", "write to support@clinic.example.org", "support@clinic.example.org", False),
    ("pii", "write to the.support@clinic.example", "the.support@clinic.example", False),
    ("pii", "write to \u017fupport@clinic.example", "\u017fupport@clinic.example", False),
    ("pii", "write to s\u200bupport@clinic.example", "s\u200bupport@clinic.example", False),
    ("pii", "pay to gb82west12345698765432", "gb82west12345698765432", True),
    ("pii", "write to jo.roe@ok.example", "jo.roe@ok.example", True),
    ("pii", "write to jo@ok.example.org", "jo@ok.example.org", False),
    ("pii", "write to jo1@ok.example", "jo1@ok.example", False),
    ("secrets", f"the key {KEY} is", KEY, True),
    ("secrets", f"the key {KEY[:-1]}A is", f"{KEY[:-1]}A", False),
    ("pattern", "for C-0000 and", "C-0000", True),
    ("pattern", "for C-0000-12 and", "C-0000-12", False),
    ("pattern", "for C-0012-99 and", "C-0012-99", True),
]


@pytest.mark.parametrize(("use", "text", "value", "is_allowed"), CASES)
def test_only_the_whole_of_a_finding_is_allowed(use: str, text: str, value: str, is_allowed: bool) -> None:
    check = CHECKS[use]
    assert found(PLAIN[use], text) == [value]
    assert found(check, text) == ([] if is_allowed else [value])
    assert allowed(check, text) == ([value] if is_allowed else [])


@pytest.mark.parametrize(("use", "text"), [(use, text) for use, text, _, _ in CASES])
def test_the_cuts_of_a_stream_make_no_difference(use: str, text: str) -> None:
    assert_every_split(CHECKS[use], text)


PARTS = [
    PHONE,
    MAIL,
    f"x.{MAIL}",
    f"{MAIL}.org",
    MAIL.upper(),
    "+1 212",
    " 555 0100",
    "support@",
    "clinic.example",
    " ",
    ", ",
    "\u200b",
    "5",
]


@pytest.mark.parametrize("use", ["pii"])
def test_no_cut_lets_more_or_less_pass(use: str) -> None:
    assert_promise(CHECKS[use], PARTS, examples=150)
    for at in range(1, len(MAIL)):
        (scan,) = CHECKS[use].scan([Window(CHANNEL, f"to {MAIL[:at]}", last=False)])
        assert (scan.findings, scan.allowed) == ((), ())


@pytest.mark.parametrize("way", WAYS)
def test_a_disguised_value_is_not_allowed(way: str) -> None:
    hide, mildest = WAYS[way]
    check = build("pii", "pii", {**KINDS["pii"], "evasions": "strict"}, Resources())
    text = f"Well, ({hide(MAIL)}) it is."
    if hide(MAIL) in (MAIL, MAIL.upper()) or mildest == "never":
        return  # nothing is hidden in this way, or nothing reads it
    assert whole(check, text)
    assert not allowed(check, text)


def test_a_pattern_reads_no_hidden_characters() -> None:
    check = build("pattern", "words", {"patterns": [r"<[^>]+>"], "allow_patterns": [r"<.*>"]}, Resources())
    assert found(check, "<a> <\u00e9>") == []
    hidden = ["<a\u200bb>", "<\u212a>", "<\uff41>", "<\ud800>"]
    assert found(check, " ".join(hidden)) == hidden


def test_an_undecoded_place_is_not_allowed() -> None:
    text = "the data"
    for _ in range(4):
        text = base64.b64encode(text.encode()).decode()
    check = build("pattern", "words", {"words": ["zzz"], "allow_patterns": ["(?s).*"]}, Resources())
    assert [finding.label for finding in whole(check, text)] == ["UNDECODED"]


@pytest.mark.parametrize("use", KINDS)
def test_without_a_list_the_check_is_the_same(use: str) -> None:
    bare = {key: value for key, value in KINDS[use].items() if key not in ALLOW}
    check = build(use, use, bare, Resources())
    assert check.digest == PLAIN[use].digest != CHECKS[use].digest
    assert not isinstance(check, Allowing)
    assert (CHECKS[use].name, CHECKS[use].traits) == (use, check.traits)


def test_the_digest_follows_the_list_and_not_its_order() -> None:
    def digest(**chosen: Any) -> str:
        return build("pii", "pii", chosen, Resources()).digest

    assert digest(allow=["a", "b"]) == digest(allow=["b", " a "]) != digest(allow=["a"])
    assert digest(allow=["a"]) != digest(allow_patterns=["a"]) != digest(allow_patterns=["b"])
    assert digest(allow=["a"]) != digest(allow=["a"], entities=["EMAIL_ADDRESS"])


def test_names_are_compared_in_any_case() -> None:
    people = People({"Ada Roe": "PERSON", "ADA ROE": "PERSON", "Ada Roe Jr": "PERSON", "May": "DATE_TIME"})
    chosen = {"entities": ["PERSON", "DATE_TIME"], "allow": ["ada roe", "may"], "parity": "strict"}
    check = build("pii", "pii", chosen, Resources(tagger=lambda name: people))
    (partner,) = with_partner(check)[1:]
    assert partner.traits.partner_of == check.digest
    assert found(partner, "so Ada Roe and ADA ROE said.") == []
    assert found(partner, "so Ada Roe came in May.") == ["May"]
    assert_every_split(partner, "so Ada Roe came in May.")


def spans(*found: tuple[int, int, str, float]) -> list[Span]:
    return [Span(*span, False) for span in found]


def test_what_goes_beyond_an_allowed_value_is_found() -> None:
    """The strongest of spans that overlap may be allowed. Then a weaker one stays, if it covers more."""
    text = "see https://x.test/?to=jo@ab.example&key=1 now"
    mail = (23, 36, "EMAIL_ADDRESS", 1.0)
    inside, around, other = (26, 36, "URL", 0.5), (4, 42, "URL", 0.6), (43, 46, "DATE_TIME", 0.6)
    known = AllowList(["jo@ab.example"])
    every = spans(mail, inside, around, other)
    assert resolve(every) == spans(mail, other)
    assert beyond(every, text, known) == sorted(spans(mail, around, other))
    assert beyond(spans(mail, inside), text, known) == spans(mail)
    assert beyond(every, text, AllowList(["now"])) == resolve(every)
    card, link = "4111111111111111", "https://x.com/4111111111111111/key"
    chosen = {"entities": ["URL", "CREDIT_CARD"]}
    plain = build("pii", "pii", chosen, Resources())
    check = build("pii", "pii", {**chosen, "allow": ["4111 1111 1111 1111"]}, Resources())
    assert (found(plain, link), found(check, link)) == ([card], [link])
    assert_every_split(check, link)


def test_a_value_is_a_number_only_for_labels_of_numbers() -> None:
    known = AllowList(["1.11.1.1", "---", "a-b"], numbers=["PHONE_NUMBER"], any_case=["PERSON"])
    assert known.has("IP_ADDRESS", "1.11.1.1")
    assert not known.has("IP_ADDRESS", "11.1.1.1")
    assert known.has("PHONE_NUMBER", "11 1-1 1")
    assert not known.has("PHONE_NUMBER", "...")
    assert not known.has("PHONE_NUMBER", "11_11")
    assert not known.has("PHONE_NUMBER", "\u0661\u0661\u0661\u0661\u0661")
    assert known.has("PERSON", "A-B")
    assert not known.has("URL", "A-B")
    kelvin = AllowList(["Kim", "\u212aay"], any_case=["PERSON"])
    assert not kelvin.has("PERSON", "\u212aim")
    assert not kelvin.has("PERSON", "Kay")
    assert kelvin.has("PERSON", "\u212aay")


@pytest.mark.parametrize(
    ("chosen", "key", "item", "message"),
    [
        ({"allow": "a"}, "allow", None, "`allow` must be a list of texts"),
        (
            {"allow": ["a", 12125550100]},
            "allow",
            1,
            "`allow` holds a number; quote it, so that all of its characters stay",
        ),
        ({"allow": ["a", " "]}, "allow", 1, "`allow` must be a list of non-empty texts"),
        ({"allow": [True]}, "allow", 0, "`allow` must be a list of non-empty texts"),
        (
            {"allow": ["a" * (VALUE_CHARS_LIMIT + 1)]},
            "allow",
            0,
            f"an entry of `allow` has at most {VALUE_CHARS_LIMIT} characters",
        ),
        ({"allow": ["a"] * (VALUES_LIMIT + 1)}, "allow", VALUES_LIMIT, "`allow` has at most 50000 entries"),
        ({"allow_patterns": ["a"] * 101}, "allow_patterns", 100, "`allow_patterns` has at most 100 entries"),
        ({"allow_patterns": ["a", "(b"]}, "allow_patterns", 1, "pattern 2: missing ): (b"),
        (
            {"allow_patterns": [r"(a)\1"]},
            "allow_patterns",
            0,
            r"pattern 1: invalid escape sequence: \1; back-references are not possible in RE2; write the repeated part out",
        ),
        ({"allow_patterns": ["\ud800"]}, "allow_patterns", 0, "pattern 1 holds a lone surrogate"),
    ],
)
@pytest.mark.parametrize("use", KINDS)
def test_a_wrong_list_is_refused(use: str, chosen: dict[str, Any], key: str, item: int | None, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        build(use, use, {**KINDS[use], **chosen}, Resources())
    assert (caught.value.key, caught.value.item, caught.value.message) == (key, item, message)


@pytest.mark.parametrize(
    ("pattern", "is_wide"),
    [
        (".*", True),
        (r"\S+", True),
        (r"\w+", False),
        (r"[\w@.+-]+", True),
        (r".*@clinic\.example", False),
        (r"[ +\d]+", False),
    ],
)
def test_a_pattern_that_matches_everything_is_a_warning(pattern: str, is_wide: bool) -> None:
    check = build("secrets", "keys", {"allow_patterns": ["x", pattern]}, Resources())
    advice = [advice for advice in check.traits.advice if advice.key == "allow_patterns"]
    assert [(each.item, each.serious) for each in advice] == ([(1, True)] if is_wide else [])
    assert all("pattern 2 matches `anna.meyer@mail.test` and" in each.message for each in advice)


def test_every_check_with_evasions_that_finds_values_has_the_options() -> None:
    """`special_tokens`, `canary`, `supervisor` and `topic` find no values that may be kept; `words` has `unless`."""
    having = {use for use in own_names() if ALLOW.keys() <= options(use).keys()}
    assert having == {use for use in own_names() if "evasions" in options(use)} - {
        "special_tokens",
        "canary",
        "supervisor",
        "words",
        "topic",
    }


def test_the_cost_does_not_follow_the_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value is looked up, whatever the number of values is; patterns are asked one by one."""
    asked: list[str] = []

    class Counting:
        pattern = "x"

        def fullmatch(self, text: str) -> Any:
            asked.append(text)
            return re2.fullmatch("x", text)

    known = AllowList([f"{number}@ab.example" for number in range(VALUES_LIMIT)], [Counting()] * 3)
    assert known.has("EMAIL_ADDRESS", "7@ab.example")
    assert asked == []
    assert not known.has("EMAIL_ADDRESS", "x@ab.example")
    assert asked == ["x@ab.example"] * 3


def test_an_identifier_of_each_entity_can_be_allowed() -> None:
    check = build("pii", "pii", {"allow": [*IDENTIFIERS.values()]}, Resources())
    text = ", ".join(f"it is {value} now" for value in IDENTIFIERS.values())
    assert found(check, text) == []
    assert found(build("pii", "pii", {}, Resources()), text) == [*IDENTIFIERS.values()]
    cuts: Sequence[int] = range(7, len(text), 11)
    assert scan_in_chunks(check, text, cuts) == []
