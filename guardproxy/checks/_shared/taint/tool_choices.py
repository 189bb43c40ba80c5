"""The words that the definition of a tool lets its arguments have: those of an `enum` or `const` in its schema.

In: the passages of a conversation. Out: for each name of a tool its words, packed. A definition says nothing of the arguments
of another tool: a stranger may have written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from guardproxy.checks._shared.taint.packing import packed
from guardproxy.findings import Passage

MOST_CHARS = 200
"""The characters of a word. A longer text is none."""
_CHOICE = re.compile(r"(?:^|\.)(?:enum\[\d+\]|const)$")
"""The end of the path of a value that a schema allows."""
_DEFINITION = re.compile(r"(?:[^.\[\]]+\[\d+\]\.)+(?:(?:function|custom)\.)?")
"""The beginning of the path of a text in a definition: an item of a list, in some formats with the definition as a member."""


def tool_choices(passages: Iterable[Passage]) -> Mapping[str, frozenset[str]]:
    """Returns the words by the name of the tool. Tools of one name share them."""
    names: dict[str, str] = {}  # by the place of the definition
    found: list[tuple[str, str]] = []
    for passage in passages:
        if passage.kind != "tool_definition" or (match := _DEFINITION.match(passage.path)) is None:
            continue
        if passage.path == f"{match[0]}name":
            names[match[0]] = passage.text
        elif len(passage.text) <= MOST_CHARS and _CHOICE.search(passage.path):
            found.append((match[0], packed(passage.text)))
    words: dict[str, set[str]] = {}
    for place, word in found:
        if place in names:
            words.setdefault(names[place], set()).add(word)
    return {name: frozenset(its) for name, its in words.items()}
