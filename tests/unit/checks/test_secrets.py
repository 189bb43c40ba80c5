"""The secrets check: every rule finds a made-up secret of its kind, and ordinary text holds none."""

from __future__ import annotations

import statistics

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks.secrets import _rows, entropy, rule_ids
from guardproxy.errors import OptionError
from guardproxy.findings import Window
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, scan_in_chunks, whole
from tests.kit.secrets import made_up

CHECK = build("secrets", "secrets", {}, Resources())
ROWS = {row["id"]: row for row in _rows()}


def _found(text: str) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in whole(CHECK, text)]


def test_every_rule_has_a_sample_and_a_name_of_its_own() -> None:
    assert sorted(made_up()) == sorted(rule_ids())
    assert len(set(rule_ids())) == len(rule_ids()) >= 25


# Keys that their first characters tell apart, so that a letter may touch them.
TOLD = [row_id for row_id, row in ROWS.items() if row["pattern"].startswith(r"\b") and "://" not in row["pattern"]]


def _covered(text: str) -> str:
    return "".join(found for _, found in _found(text))


@pytest.mark.parametrize("rule", TOLD)
@pytest.mark.parametrize("before", ["x", "key", "7", "my_", "API_KEY"])
def test_a_letter_may_touch_a_key(rule: str, before: str) -> None:
    secret = made_up(2)[rule][1]
    assert secret in _covered(f"see {before}{secret} now"), before
    if before == "x":
        assert_every_split(CHECK, f"see {before}{secret} now")


@pytest.mark.parametrize("rule", ["aws-access-key-id", "twilio", "databricks", "mailchimp"])
def test_a_letter_may_follow_a_key_of_fixed_length(rule: str) -> None:
    secret = made_up(2)[rule][1]
    assert secret in _covered(f"see {secret}x now")


@pytest.mark.parametrize("width", [64, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n> ", "\\n"])
@pytest.mark.parametrize(
    "rule", ["anthropic", "openai", "openrouter", "xai", "pypi", "atlassian", "github-fine-grained"]
)
def test_a_key_goes_on_in_the_next_line(rule: str, width: int, end: str) -> None:
    for before in ("key=", "token: "):
        line = before + made_up(3)[rule][1]
        parts = [line[at : at + width] for at in range(0, len(line), width)]
        text = end.join(parts) + "\nMODE=fast"
        assert text[len(before) :].startswith(_covered(text)), "in one piece"
        assert len(_covered(text)) >= len(end.join(parts)) - len(before) - 4 or len(parts[-1]) < 5
    if (rule, width, end) == ("pypi", 64, "\n"):
        assert_every_split(CHECK, text)


def test_the_next_line_is_another_text() -> None:
    key = made_up(3)["anthropic"][1]
    for after in ("hunter2", "and more", "version2", "PORT=8080", "deadbeef"):
        assert _covered(f"{key}\n{after}\n") == key
    half = key[:20]
    assert _covered(f"{half}\nplain words\n") == ""
    assert _covered(f"{half}\nABCDEFGHIJKL\n") == ""


@pytest.mark.parametrize("rule", rule_ids())
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rule_finds_its_secret(rule: str, seed: int) -> None:
    text, secret = made_up(seed)[rule]
    assert _found(text) == [(ROWS[rule]["label"], secret)]
    alone = build("secrets", "s", {"rules": [rule]}, Resources())
    assert [text[found.start : found.end] for found in whole(alone, text)] == [secret]
    others = build("secrets", "s", {"skip": [rule]}, Resources())
    assert ROWS[rule]["label"] not in {found.label for found in whole(others, text)} or rule in (
        "github-token", "github-fine-grained", "slack-token", "slack-app-token",
    )  # fmt: skip


@pytest.mark.parametrize("rule", rule_ids())
def test_a_secret_is_found_however_it_is_cut(rule: str) -> None:
    text, secret = made_up(7)[rule]
    (finding,) = assert_every_split(CHECK, f"Well, {text} and more")
    assert f"Well, {text} and more"[finding.start : finding.end] == secret


@pytest.mark.parametrize("carrier", ["_{}_", "__{}__", "**{}**", "`{}`", "~~{}~~", "\u5bc6\u94a5{}\u3002"])
@pytest.mark.parametrize("rule", rule_ids())
def test_a_secret_is_found_whatever_touches_it(rule: str, carrier: str) -> None:
    text = carrier.format(made_up(5)[rule][0])
    value = made_up(5)[rule][1].rstrip("_")
    assert any(value in found for _, found in _found(text)), text


def test_nothing_of_a_secret_leaves_before_it_is_known() -> None:
    for text, secret in made_up(4).values():
        start = text.index(secret)
        for end in range(start + 1, len(text)):
            (scan,) = CHECK.scan([Window(CHANNEL, text[:end], last=False)])
            assert scan.settled <= start or scan.settled >= start + len(secret)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "The password is wrong, and the token was lost. Secret: unknown. api_key: <your key here>",
        "password=${PASSWORD} token: {{ token }} secret = os.environ['SECRET']",
        "git commit 3f786850e387550fdab836ed7e6dc881de23001b and sha256 " + "ab" * 32,
        "task-management risk-adjusted desk-top sk-learn-with-a-very-long-name-of-words sk-short",
        "http://example.com:8080/a@b and mailto:someone@example.com, ratio 3:4@5",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "bearer of bad news, Bearer token-based-authentication-scheme",
        "task-2024-q3-planning-meeting-notes-v12 and risk-assessment-of-project-12-in-berlin-2025",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_ordinary_text_holds_no_secret(text: str) -> None:
    assert _found(text) == []


@pytest.mark.parametrize(
    "before",
    ["password=", "PASSWORD: ", "db_password = '", '"apiKey": "', "api-key => `", r"{\"secret\":\"", "the passphrase is ",
     "export API_TOKEN=", "pwd:", "access_key := "],
)  # fmt: skip
def test_assignments_in_many_forms(before: str) -> None:
    assert _found(f"{before}h7Kq2mZ9xW") == [("SECRET", "h7Kq2mZ9xW")]


def test_the_more_telling_rule_names_a_secret_that_two_rules_find() -> None:
    _, key = made_up()["anthropic"]
    assert _found(f"ANTHROPIC_API_KEY={key}") == [("ANTHROPIC_KEY", key)]


def test_a_private_key_without_an_end_is_found_as_far_as_it_goes() -> None:
    _, key = made_up()["private-key"]
    cut = key[: key.index("-----END")].rstrip()
    assert _found(f"{cut}\nThat was it.") == [("PRIVATE_KEY", cut)]
    assert _found("a line -----BEGIN PRIVATE KEY----- alone")[0][1] == "-----BEGIN PRIVATE KEY-----"
    assert [label for label, _ in _found(cut + "\n" + "x" * 12000 + "\n-----END RSA PRIVATE KEY-----")] == [
        "PRIVATE_KEY"
    ]


def test_a_key_without_an_end_is_held_for_no_longer_than_its_cap() -> None:
    text = "-----BEGIN PRIVATE KEY-----\n" + "word, " * 2500
    held: list[int] = []
    findings = scan_in_chunks(CHECK, text, range(100, len(text), 100), held)
    assert findings == whole(CHECK, text)
    assert 9000 < max(held) <= 10_000
    assert held[-1] <= 20


def test_prose_is_held_for_a_word() -> None:
    held = held_words(CHECK, PROSE)
    assert statistics.median(held) <= 1
    assert max(held) <= 3


def test_digest_tells_rule_sets_apart() -> None:
    assert build("secrets", "a", {}, Resources()).digest == CHECK.digest
    assert build("secrets", "a", {"skip": ["jwt"]}, Resources()).digest != CHECK.digest


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"rule": []}, "rule", "unknown option"),
        ({"rules": "jwt"}, "rules", "list of rule ids"),
        ({"rules": ["jtw"]}, "rules", "did you mean `jwt`"),
        ({"skip": ["zzzzzz"]}, "skip", "known rules"),
        ({"rules": ["jwt"], "skip": ["jwt"]}, "skip", "no rule is left"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        build("secrets", "s", options, Resources())
    assert caught.value.key == key


def test_entropy() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2
