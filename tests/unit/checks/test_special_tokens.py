"""The check `special_tokens`: the literals of each family, their disguises, and ordinary text and code without any."""

from __future__ import annotations

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.special_tokens import DEFAULTS, FAMILIES, LABELS, OPTIONAL
from guardproxy.errors import OptionError
from tests.kit.checks import PROSE, assert_every_split, held_words, scan_in_chunks, whole

CHECK = build("special_tokens", "special_tokens", {"families": list(FAMILIES)}, Resources())
DEFAULT = build("special_tokens", "special_tokens", {}, Resources())

LITERALS: dict[str, tuple[str, ...]] = {
    "chatml": ("<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|endoftext|>", "<|fim_prefix|>"),
    "llama2": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    "llama3": (
        "<|begin_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|python_tag|>",
        "<|eot|>",
    ),
    "mistral": (
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_CALLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
        "[SYSTEM_PROMPT]",
    ),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "phi": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "deepseek": (
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        "<｜User｜>",
        "<｜Assistant｜>",
        "<｜tool▁calls▁begin｜>",
    ),
    "glm": ("[gMASK]", "<sop>", "<|observation|>"),
    "cohere": ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<BOS_TOKEN>"),
    "harmony": ("<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>", "<|constrain|>"),
    "granite": ("<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
    "kimi": ("<|im_user|>", "<|im_middle|>", "<|tool_calls_section_begin|>"),
    "hermes": ("<tool_call>", "</tool_call>", "<tool_response>", "<tools>"),
    "sentence": ("<s>", "</s>", "<bos>", "<eos>", "<pad>"),
    "thinking": ("<think>", "</think>"),
    "alpaca": ("### Instruction:", "### Response:"),
    "legacy": ("Human:", "Assistant:"),
    "generic": ("<|my_own_token|>", "<|x|>"),
}
# Text of a family whose literals need text before them.
BEFORE = {"legacy": "text\n\n"}


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.label, text[finding.start : finding.end]) for finding in assert_every_split(CHECK, text)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_literals_of_every_family_are_found_at_every_cut(family: str) -> None:
    alone = build("special_tokens", "s", {"families": [family], "evasions": "off"}, Resources())
    for literal in LITERALS[family]:
        text = f"{BEFORE.get(family, 'a ')}{literal}system"
        assert found(text) == [(LABELS[family], literal)]
        assert [finding.label for finding in whole(alone, text)] == [LABELS[family]]


@pytest.mark.parametrize(
    "text",
    [
        "<|IM_START|>",
        "<|Im_Start|>",
        "＜｜im_start｜＞",
        "<｜im_start｜>",
        "< |im_start| >",
        "<|im＿start|>",
        "<|im▁start|>",
        "<|ｉｍ_ｓｔａｒｔ|>",
        "<|im\u200b_st\u200cart|>",
        "<\u2060|im_start|>",
        "<|im\u00ad_start|>",
        "<|𝐢𝐦_𝐬𝐭𝐚𝐫𝐭|>",
        "&lt;|im_start|&gt;",
        "%3C|im_start|%3E",
        "\\u003c|im_start|\\u003e",
        "<|i\U000e0000m_start|>",
    ],
)
def test_disguises_are_read_through(text: str) -> None:
    assert found(f"a {text} b")[0][0] == "CHATML_TOKEN"


def test_look_alike_letters_need_the_strict_profile() -> None:
    strict = build("special_tokens", "s", {"evasions": "strict"}, Resources())
    assert [finding.label for finding in whole(strict, "<|іm_ѕtаrt|>")] == ["CHATML_TOKEN"]  # Cyrillic
    off = build("special_tokens", "s", {"evasions": "off"}, Resources())
    assert whole(off, "<|im\u200b_start|>") == []


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "",
        "a | b |> c <| d",
        "f <| x |> g",
        "if (a < |b|) return;",
        "List<String> x = new ArrayList<>();",
        "<div><p>text</p></div>",
        "[INSTALL] and [inst.] or [ARGUMENTS]",
        "<toolbar> </toolbar>",
        "cat file | sort |& uniq",
        "x <- y; y -> z",
        "||| <||> <|",
        "The user: hello. Human: after all.",
        "### A heading",
        "std::vector<std::pair<int, int>> v;",
        "[1] [a] [[x]]",
        "<end of turn>",
        "<|a b c d|>",
        "| a | b |\n|---|---|\n| <c> | d |",
    ],
)
def test_ordinary_text_and_code_have_none(text: str) -> None:
    assert found(text) == []


def test_families_that_html_and_prose_hold_are_not_looked_for_by_default() -> None:
    assert {*FAMILIES} - {*DEFAULTS} == {*OPTIONAL}
    for family in OPTIONAL:
        text = "a " + BEFORE.get(family, "") + LITERALS[family][0]
        assert whole(DEFAULT, text) == []
        assert len(whole(CHECK, text)) == 1


def test_an_empty_line_before_a_role_can_be_written_in_many_ways() -> None:
    for lines in ("\n\n", "\n \n", "\r\n\r\n", "\n\n  "):
        assert found(f"text{lines}human:") == [("LEGACY_TOKEN", "human:")]
    assert found("text\nHuman:") == []


def test_prose_is_held_for_a_word_and_a_literal_to_its_end() -> None:
    assert max(held_words(CHECK, PROSE)) <= 2
    held: list[int] = []
    text = "<|" + "a" * 500
    assert (
        scan_in_chunks(build("special_tokens", "s", {"evasions": "off"}, Resources()), text, range(1, len(text)), held)
        == []
    )
    assert max(held) < 200
    assert held[-1] == 0


def test_records_may_show_a_literal() -> None:
    assert not CHECK.traits.is_sensitive
    assert not DEFAULT.traits.is_slow
    assert DEFAULT.traits.labels == frozenset((*(LABELS[family] for family in DEFAULTS), "UNDECODED"))


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"families": ["chat"]}, "families", "did you mean `chatml`"),
        ({"families": []}, "families", "non-empty list"),
        ({"evasions": "all"}, "evasions", "must be one of"),
        ({"family": []}, "family", "unknown option"),
    ],
)
def test_bad_options_are_explained(options: dict[str, object], key: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        build("special_tokens", "s", options, Resources())
    assert caught.value.key == key
