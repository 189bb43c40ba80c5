"""A whole configuration of LiteLLM: its files can be used, every key is reported, and no secret is copied."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy import config
from guardproxy.gateway import read_limits
from guardproxy.importing import convert_litellm, files_of
from guardproxy.importing.source import read_source, shown
from guardproxy.policy.file import load_folder
from guardproxy.policy.file.load import parse
from guardproxy.policy.sections import SECTIONS

FILE = Path(__file__).parents[3] / "examples" / "import" / "litellm.yaml"
TEXT = FILE.read_bytes()
SECRET = "planted"
EXPORT = re.compile(r'export GUARDPROXY_[A-Z_]+="(?:[A-Za-z0-9._~:/\[\],=@-]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*"')


def assert_harmless(files: Mapping[str, str]) -> None:
    """Each file has the form of its reader, and the script only sets variables."""
    for name, text in files.items():
        assert text.encode()
        if name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith(".yaml"):
            assert re.fullmatch(r"policies/[a-z0-9-]+\.yaml", name)
            assert yaml.safe_load(text)["policy"] == Path(name).stem
        else:
            assert all(EXPORT.fullmatch(line) for line in text.splitlines()[1:]), text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    files = files_of(convert_litellm(TEXT, "f").draft)
    assert_harmless(files)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def test_the_settings_and_limits_can_be_used(folder: Path) -> None:
    read = config.load({}, {}, folder / "guardproxy.toml")
    assert read.upstreams.named["azure"] == "https://team-eu.openai.azure.com/openai"
    limits = read_limits((folder / "limits.toml").read_bytes(), "limits.toml")
    assert len((*limits.early, *limits.late)) == 2


def test_the_policies_can_be_used(folder: Path) -> None:
    files = list((folder / "policies").iterdir())
    for file in files:  # a section that this version does not have yet
        if not yaml.safe_load(file.read_text("utf-8")).keys().isdisjoint({"route", "cache"}.difference(SECTIONS)):
            file.unlink()
    policies, _ = load_folder(folder / "policies")
    assert {policy.name for policy in policies} >= {"presidio-pii", "words", "lakera", "detect-prompt-injection"}


def test_every_key_is_reported_with_its_line() -> None:
    source, notes = read_source(TEXT, "f"), convert_litellm(TEXT, "f").notes
    paths = {note.path for note in notes}
    for leaf in source.leaves():
        assert any(shown(leaf[:length]) in paths for length in range(1, len(leaf) + 1)), leaf
    lines = TEXT.decode().splitlines()
    for note in notes:
        last = re.split(r"[.\[]", note.path)[-1].rstrip("]")
        assert last.isdigit() or last in lines[note.line - 1], note


def test_no_secret_is_copied() -> None:
    conversion = convert_litellm(TEXT, "f")
    assert TEXT.decode().count(SECRET) >= 5
    assert not [text for text in files_of(conversion.draft).values() if SECRET in text]
    assert not [note for note in conversion.notes if SECRET in note.text]


WORDS = st.sampled_from(
    [
        *(
            "os.environ/KEY",
            "os.environ/$(id)",
            f"sk-{SECRET}",
            f"{SECRET} \" ' ` $(id) \n ${{x}}",
            "http://h:1/v1",
            "http://$(id)",
        ),
        *(
            "openai/gpt-5",
            "azure/x",
            "vllm/q",
            "*",
            "pre_call",
            "presidio",
            "redis",
            "MASK",
            "1d",
            "prometheus",
            "\x7f",
            "\ud800",
        ),
    ]
)
VALUES = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(-2, 10**7), st.floats(allow_nan=True), st.just([]), st.just({})
)


def holders(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a tree, as a mapping or list and a key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *holders(value[key]))]


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=6))
@settings(max_examples=20)
def test_any_value_in_any_place_gives_files_that_are_harmless(changes: list[tuple[int, Any]]) -> None:
    tree = yaml.load(TEXT, yaml.CSafeLoader)
    for number, value in changes:
        places = holders(tree)
        holder, key = places[number % len(places)]
        holder[key] = value
    if not isinstance(tree, dict) or not tree:
        return
    conversion = convert_litellm(yaml.dump(tree, Dumper=yaml.CSafeDumper).encode(), "f")
    files = files_of(conversion.draft)
    assert_harmless(files)
    for name in ("guardproxy.toml", "environment.sh"):
        assert SECRET not in files.get(name, "")
    config_text = files["guardproxy.toml"]
    if "upstream =" in config_text:
        for name, value in tomllib.loads(config_text).items():
            config.SETTINGS[name].read(value, name)
    if "limits.toml" in files:
        read_limits(files["limits.toml"].encode(), "limits.toml")


def test_a_configuration_without_limits_needs_no_file_for_them() -> None:
    conversion = convert_litellm(b"model_list: [{model_name: m, litellm_params: {model: gpt-5}}]", "f")
    assert files_of(conversion.draft).keys() == {"guardproxy.toml", "policies/route-m.yaml"}
    assert "limits" not in conversion.draft.settings


def test_a_key_of_the_file_never_takes_the_variable_of_another_key() -> None:
    text = b"""
model_list:
  - {model_name: a, litellm_params: {model: openai/x, api_base: "https://a.example/v1", api_key: planted}}
  - {model_name: b, litellm_params: {model: openai/x, api_key: os.environ/OPENAI_API_KEY}}
  - {model_name: c, litellm_params: {model: groq/x, api_key: planted too}}
environment_variables: {GROQ_API_KEY: planted as well}
"""
    upstreams = convert_litellm(text, "f").draft.upstreams.values()
    assert [upstream.key_variable for upstream in upstreams] == ["OPENAI_API_KEY_2", "OPENAI_API_KEY", "GROQ_API_KEY_2"]


def test_no_note_holds_signs_that_control_a_terminal() -> None:
    notes = convert_litellm(b'"\\e[31m": 1\n"\\u202e": [{"\\a": 2}]\n', "f").notes
    assert [note.path for note in notes] == [r"\x1b[31m", r"\u202e[0].\x07"]


NAMES = st.sampled_from(("not", "check_error", "x" * 60, "x" * 60 + "y", "é", "7", "us_ssn", "a b", "${x}", "$${", " "))


@settings(max_examples=15, deadline=None)
@given(st.lists(NAMES, max_size=4), st.lists(st.sampled_from(("${x}", "$${x}", " ", "[", "a,b")), max_size=4))
def test_every_policy_that_is_made_can_be_read(names: list[str], texts: list[str]) -> None:
    patterns = [{"pattern_type": "regex", "pattern": "x{3}", "name": name, "action": "MASK"} for name in names]
    params = {"guardrail": "litellm_content_filter", "mode": ["pre_call", "post_call"], "patterns": patterns}
    guardrails = [
        {"guardrail_name": name, "litellm_params": {**params, "blocked_words": [{"keyword": text} for text in texts]}}
        for name in names
    ]
    models = [{"model_name": text, "litellm_params": {"model": f"openai/{text}"}} for text in texts]
    files = files_of(
        convert_litellm(yaml.safe_dump({"model_list": models, "guardrails": guardrails}).encode(), "f").draft
    )
    policies = [parse(text, name) for name, text in files.items() if name.startswith("policies/")]
    words = {word for policy in policies for check in policy.checks.values() for word in check.options.get("words", ())}
    assert words == ({text for text in texts if text.strip()} if names else set())
