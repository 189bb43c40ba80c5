"""The check `special_tokens`: literals of chat templates, which forge a role if a server reads them as its own.

In: windows of text. Out: findings with a label for each family of templates. Kept: nothing between scans.
`_shared/patterns/reach.py` describes the search in growing text; `_shared/evasions/unfolding.py` the disguises that are undone
first.

A server that builds a prompt from a template may take `<|im_start|>system` in a user's text, a document or the result of
a tool for the beginning of a system message. A tokenizer reads the exact literal only. A model also understands one
whose case, width or spacing differs, so the patterns accept these spellings: any case, full-width signs, low lines of
every kind, and with `evasions` everything that the profile reads through.

Families that ordinary text also holds must be named: `sentence` (`<s>` is HTML), `legacy` (`Human:` after an empty
line), `alpaca` (`### Instruction:`), `thinking` (`<think>`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import re2

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.checks._shared.declared.options import Option, Options, chosen, options_digest, with_defaults
from guardproxy.checks._shared.evasions.unfolding import EVASIONS, unfolding
from guardproxy.checks._shared.patterns.reach import Reach, ReachCheck, SearchRule, rule
from guardproxy.findings import Check, Traits

VERSION = 1

# Between the signs `<|` and `|>`.
_PIPED: Mapping[str, str] = {
    "chatml": "im_start im_end im_sep endoftext fim_prefix fim_middle fim_suffix fim_pad repo_name file_sep",
    "llama3": (
        "begin_of_text end_of_text start_header_id end_header_id eot_id eom_id python_tag finetune_right_pad_id "
        "header_start header_end eot eom"
    ),
    "phi": "system user assistant end tool /tool tool_response dummy_id",
    "glm": "observation",
    "cohere": (
        "START_OF_TURN_TOKEN END_OF_TURN_TOKEN USER_TOKEN CHATBOT_TOKEN SYSTEM_TOKEN START_THINKING END_THINKING "
        "START_RESPONSE END_RESPONSE START_ACTION END_ACTION START_TOOL_RESULT END_TOOL_RESULT"
    ),
    "harmony": "start message channel return call constrain startoftext",
    "granite": "start_of_role end_of_role tool_call start_of_plugin end_of_plugin",
    "kimi": (
        "im_user im_assistant im_system im_middle tool_calls_section_begin tool_calls_section_end tool_call_begin "
        "tool_call_argument_begin tool_call_end"
    ),
}
# Between `[` and `]`.
_SQUARE: Mapping[str, str] = {
    "llama2": "INST /INST",
    "mistral": (
        "AVAILABLE_TOOLS /AVAILABLE_TOOLS TOOL_CALLS TOOL_RESULTS /TOOL_RESULTS SYSTEM_PROMPT /SYSTEM_PROMPT TOOL_CONTENT "
        "MODEL_SETTINGS /MODEL_SETTINGS CALL_ID ARGS"
    ),
    "glm": "gMASK",
}
# Between `<` and `>`.
_ANGLED: Mapping[str, str] = {
    "llama2": "<SYS> </SYS> <SYS /SYS",
    "gemma": "start_of_turn end_of_turn start_of_image end_of_image",
    "glm": "sop eop",
    "cohere": "BOS_TOKEN EOS_TOKEN EOP_TOKEN",
    "hermes": "tool_call /tool_call tool_calls /tool_calls tool_response /tool_response tools /tools",
    "sentence": "s /s bos eos pad unk mask",
    "thinking": "think /think thinking /thinking",
}
_DEEPSEEK = "[A-Za-z]{1,16}(?:{low}[A-Za-z]{1,16}){0,4}"
_GENERIC = "/?[A-Za-z0-9]{1,24}(?:{low}[A-Za-z0-9]{1,24}){0,6}"

_OPEN, _CLOSE = "[<\uff1c\ufe64\u2039\u3008]", "[>\uff1e\ufe65\u203a\u3009]"
_PIPE, _WIDE_PIPE = "[|\uff5c\u2223\u01c0\u2502\u00a6]", "[\uff5c\u2223\u01c0\u2502]"
_LEFT, _RIGHT = "[\\[\uff3b]", "[\\]\uff3d]"
_SLASH = "[/\uff0f\u2215\u2044]"
_LOW = "[_\uff3f\u2581]"
_GAP = "[ \t\u00a0\u3000]{0,2}"
_LEGACY = r"\n[ \t]{0,4}\r?\n[ \t]{0,4}((?i:human|assistant|system|user)[ \t]{0,2}[:\x{ff1a}])"
_ALPACA = r"(?i:#{2,3}[ \t]{1,2}(?:instruction|response|input|system|user|assistant)[ \t]{0,2}[:\x{ff1a}])"

FAMILIES = (
    *("chatml", "llama2", "llama3", "mistral", "gemma", "deepseek", "phi", "glm", "cohere", "harmony", "granite"),
    *("kimi", "hermes", "sentence", "thinking", "alpaca", "legacy", "generic"),
)
"""All families. A literal of several families belongs to the first."""
OPTIONAL = ("sentence", "thinking", "alpaca", "legacy")
DEFAULTS = tuple(family for family in FAMILIES if family not in OPTIONAL)
LABELS: Mapping[str, str] = {family: f"{family.upper()}_TOKEN" for family in FAMILIES}
OPTIONS: Options = {
    "families": Option(
        "The families of chat templates to look for; `generic` is every other `<|name|>`.",
        {"type": "array", "minItems": 1, "items": {"enum": list(FAMILIES)}},
        default=list(DEFAULTS),
        tighter="longer",
    ),
    "evasions": EVASIONS,
}


def build(name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `name`. Raises `OptionError` for an unknown option, family or profile."""
    families = chosen(with_defaults(options, OPTIONS), "families", FAMILIES)
    return unfolding(
        ReachCheck(
            name,
            options_digest("special_tokens", VERSION, {"families": sorted(families)}),
            _reach(frozenset(families)),
            Traits(is_sensitive=False, is_slow=False, labels=frozenset(LABELS[family] for family in families)),
        ),
        options,
    )


@cache
def _reach(families: frozenset[str]) -> Reach:
    return Reach([_rule(family) for family in FAMILIES if family in families])


def _rule(family: str) -> SearchRule:
    if family == "legacy":
        return rule(LABELS[family], _LEGACY, cap=128, group=1)
    if family == "alpaca":
        return rule(LABELS[family], _ALPACA, cap=128)
    forms: list[str] = []
    if names := _PIPED.get(family):
        forms.append(_form(f"{_OPEN}{_GAP}{_PIPE}", names, f"{_PIPE}{_GAP}{_CLOSE}"))
    if names := _SQUARE.get(family):
        forms.append(_form(_LEFT, names, _RIGHT))
    if names := _ANGLED.get(family):
        forms.append(_form(_OPEN, names, _CLOSE))
    if family == "deepseek":
        forms.append(
            f"{_OPEN}{_GAP}{_WIDE_PIPE}{_GAP}{_DEEPSEEK}{_GAP}{_WIDE_PIPE}{_GAP}{_CLOSE}".replace("{low}", _LOW)
        )
    if family == "generic":
        forms.append(f"{_OPEN}{_PIPE}{_GENERIC}{_PIPE}{_CLOSE}".replace("{low}", _LOW))
    return rule(LABELS[family], "|".join(forms), cap=256)


def _form(before: str, names: str, after: str) -> str:
    """Returns a pattern for the names between two signs, in any case."""
    return f"{before}{_GAP}(?i:{'|'.join(map(_spelling, names.split()))}){_GAP}{after}"


def _spelling(name: str) -> str:
    """Returns a pattern for a name whose signs may be full-width."""
    signs = {"_": _LOW, "/": _SLASH, "<": _OPEN, ">": _CLOSE}
    return "".join(signs.get(char) or re2.escape(char) for char in name)
