"""Normal forms of names that a client writes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.conditions.canonical_names import (
    LIMIT_CHARS,
    LIMIT_KEY_CHARS,
    LIMIT_MARKS,
    glob_readings,
    lower_case,
    model_key,
    model_readings,
    tool_readings,
    value_readings,
)


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("GPT-4", "gpt-4"),
        (" gpt-4\t", "gpt-4"),
        ("g\u200bp\u00adt-4", "gpt-4"),
        ("\uff47\uff50\uff54-4", "gpt-4"),
        ("gpt-4\x00", "gpt-4"),
        ("openai/gpt-4", "gpt-4"),
        ("models/gpt-4", "gpt-4"),
        ("accounts/x/models/gpt-4", "gpt-4"),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3", "claude-3"),
        ("gpt-4:free", "gpt-4"),
        ("gpt-4@2024-06-01", "gpt-4"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-latest", "gpt-4"),
        ("ft:gpt-4:org::id", "gpt-4"),
        ("anthropic--claude-3", "claude-3"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo"),
    ],
)
def test_a_model_is_read_in_every_way(name: str, reading: str) -> None:
    assert reading in (model_readings(name) or ())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "g\u0440t-4",
        "gpt%2D4",
        "gpt\\4",
        "openrouter/auto",
        "@preset/a",
        "\u200b",
        "x" * (LIMIT_CHARS + 1),
        "a/" * 17 + "b",
        "\ud800",
    ],
)
def test_a_model_that_nobody_can_read_has_no_reading(name: str) -> None:
    assert model_readings(name) is None


@given(st.text(st.sampled_from("aÅé\u0301\u0327ﬁ한\u1112\u1161\u11abß² \u0344"), max_size=LIMIT_MARKS))
def test_lower_case_is_the_compatibility_form(text: str) -> None:
    plain = unicodedata.normalize("NFKC", text)
    assert lower_case(text) == unicodedata.normalize("NFKC", plain.casefold())


def test_a_long_run_of_combining_marks_is_put_in_order_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes squared time for such a run."""
    real, longest = unicodedata.normalize, 0

    def normalize(form: Any, text: str) -> str:
        nonlocal longest
        longest = max(longest, len(text))
        return real(form, text)

    monkeypatch.setattr(unicodedata, "normalize", normalize)
    assert lower_case("A" + "\u0315\u0300" * 1000).startswith("\u00e0\u0300")
    assert longest <= LIMIT_MARKS + 1


@given(st.text(max_size=2 * LIMIT_CHARS), st.sampled_from([model_readings, tool_readings, value_readings]))
def test_the_readings_of_any_name_are_few(name: str, read: object) -> None:
    found = read(name)  # type: ignore[operator]
    assert found is None or len(found) <= 120


def test_a_tool_is_read_with_and_without_its_server() -> None:
    assert tool_readings("Files__Shell") == ("files__shell", "shell")
    assert "shell" in (tool_readings("functions.shell") or ())
    assert tool_readings("\u0455hell") is None


def test_a_value_is_read_whole_and_in_parts() -> None:
    assert value_readings(" Red , blue  one") == ("red , blue one", "red", "blue one")


@pytest.mark.parametrize("name", ["", "x" * (LIMIT_CHARS + 1)])
def test_a_tool_without_a_name_or_with_a_long_one_is_not_read(name: str) -> None:
    assert tool_readings(name) is None


def test_the_readings_of_a_glob_are_globs_for_the_readings_of_its_models() -> None:
    assert list(glob_readings("openai/gpt-*:free")) == [
        *("openai/gpt-*:free", "openai/gpt-*:free", "openai/gpt-*", "gpt-*:free", "gpt-*:free", "gpt-*"),
        *("free", "free", "free"),
    ]
    assert list(glob_readings("x/")) == ["x/", "x/", "x/"]


PREFIXES = st.sampled_from(
    ["", "models/", "openai/", "publishers/google/models/", "us.anthropic.", "vendor--", "a/b.c/"]
)
NAMES = st.sampled_from(["gpt-5", "gpt-3.5-turbo", "claude-3-5-sonnet-20241022-v2:0", "llama3:8b", "o3"])


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS = st.sampled_from(
    [
        str,
        str.upper,
        str.title,
        lambda name: f" {name}\t",
        lambda name: name + "\u200b",
        lambda name: "\uff47" + name[1:] if name[0] == "g" else name,
        lambda name: name + "/",
        percent,
        lambda name: percent(percent(name)),
        lambda name: name.replace("-", "%2D"),
    ]
)


@given(NAMES, PREFIXES, st.lists(SPELLINGS, max_size=2))
def test_a_model_has_one_key_however_it_is_spelled(
    name: str, prefix: str, spellings: list[Callable[[str], str]]
) -> None:
    spelled = prefix + name
    for spelling in spellings:
        spelled = spelling(spelled)
    assert model_key(spelled) == name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("llama3:latest", "llama3"),
        ("gpt-5-2025-01-01", "gpt-5-2025-01-01"),
        ("gpt-5-latest", "gpt-5-latest"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-3", "claude-3"),
        ("", ""),
        ("/", ""),
        ("a%", "a%"),
        ("%ff", "\udcff"),
        ("x" * 999, "x" * 999),
        ("x" * (LIMIT_KEY_CHARS + 1), ""),
        *((name, "") for name in ("gpt-5,gpt-5", "gpt-5%2Co/gpt-5", "gpt-5\uff0cm")),
    ],
)
def test_what_is_another_model_has_another_key(name: str, key: str) -> None:
    assert model_key(name) == key


@pytest.mark.parametrize("unit", ["a", "a/", "a.", "-", "%25", "a ", "\u0315"])
def test_the_work_for_a_long_name_is_linear(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A squared search takes minutes for these names."""
    chars = 200_000
    monkeypatch.setattr("guardproxy.conditions.canonical_names.LIMIT_KEY_CHARS", chars)
    assert len(model_key(unit * (chars // len(unit)))) <= chars


@given(st.text(max_size=2 * LIMIT_CHARS))
def test_any_name_has_a_key(name: str) -> None:
    assert isinstance(model_key(name), str)
