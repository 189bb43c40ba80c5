"""Words of other tools, and what guardproxy calls them.

In: a word that is unknown at a place of a policy, and the words that are known there. Out: a hint for the message, which is
empty without one. `foreign.yaml` beside this file is the only table of such words. Kept: the table, from its first use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


def hint(word: str, known: Sequence[str], place: str = "", value: Any = None) -> str:
    """Returns what to write instead of an unknown word, as the end of a sentence: what others call so, or the nearest of the
    words that are known here. `place`: a key of the table. `value`: that of a key, if it is known."""
    if same := next((other for other in known if _plain(other) == _plain(word)), ""):
        return f"; did you mean `{same}`?"
    target, near = foreign(place, word, value), [f"`{other}`" for other in get_close_matches(word, known, 1)]
    is_ours = target.strip("`") in known or not _is_word(target)  # not every check has every option
    if target and is_ours and target not in near:
        return f"; write {target}"
    return f"; did you mean {near[0]}?" if near else ""


def foreign(place: str, word: str, value: Any = None) -> str:
    """Returns what stands for a word of another tool, with our words in backticks; empty if the word is not known."""
    if not place:
        return ""
    words = _words()[place]
    plain = _plain(word)
    target = words.get(f"{plain}:{str(value).lower()}") or words.get(plain) or ""
    return f"`{target}`" if _is_word(f"`{target}`") else target


def _is_word(target: str) -> bool:
    """Whether a target is a single word of ours, and not a phrase."""
    return re.fullmatch(r"`\w+`", target) is not None


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


@cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Returns the table: by place, our word or a phrase, with the foreign words for it as one text."""
    text = files("guardproxy.checks._shared.declared").joinpath("foreign.yaml").read_text("utf-8")
    entries: Mapping[str, Mapping[str, str]] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    return entries


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    return {
        place: {_plain(word): target for target, words in entries.items() for word in words.split()}
        for place, entries in table().items()
    }
