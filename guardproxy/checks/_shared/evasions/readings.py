"""Other readings of a text for a model: the text after its disguises are undone.

In: a whole text. Out: its views (see `views.py`), with offsets in the text. A text in which nothing is hidden has no other
view. Only the deepest views are returned, because they contain everything that the views before them do.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from guardproxy.checks._shared.evasions.folding import Table, table
from guardproxy.checks._shared.evasions.views import DEPTH, TextView, plain, read

PROFILES = ("off", "standard", "strict")


def other_views(text: str, profile: str) -> list[TextView]:
    """Returns the views of `text` that differ from it; at most two. `profile`: one of `PROFILES`."""
    if profile == "off":
        return []
    using = _table(profile == "strict", _is_latin(text))
    if plain(text, using):
        return []
    views = read(text, using, more=False).views
    distinct: list[TextView] = []
    for view in (views[DEPTH + 1], views[-1]):
        if view.text != text and all(view.text != known.text for known in distinct):
            distinct.append(view)
    return distinct


@cache
def _table(strict: bool, latin: bool) -> Table:
    """Returns the table of a profile. `latin`: letters that look Latin are read as Latin, in every profile."""
    if strict or not latin:
        return table(strict)
    return replace(table(strict=True), strict=False, units=None)


def _is_latin(text: str) -> bool:
    """Whether a text is mostly written in Latin letters. Other scripts have many letters that look Latin."""
    if text.isascii():
        return False  # no letter can be read in another way
    latin = sum(letter.isascii() and letter.isalpha() for letter in text)
    other = [letter for letter in text if not letter.isascii() and letter.isalpha()]
    alike = table(strict=True).look_alikes
    return sum(ord(letter) not in alike for letter in other) * 4 <= latin + len(other)
