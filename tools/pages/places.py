"""The places of requests that no check reads, as a table in `docs/security/places.md`, made of the maps of the formats."""

from __future__ import annotations

import re
from typing import Any

from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.registry import codecs
from tests.kit.maps import OTHER, MapPlace, places

BLOCK = re.compile(r"(?<=<!-- generated: unread -->\n).*?(?=<!-- end -->)", re.DOTALL)
UNREAD = ("opaque", "secret", "token_ids", "tokens")
"""The ways to treat a place at which no check reads what belongs there."""
_MEDIA = {"url": "KIND", "pieces": "audio"}
_WORDS = {"url": "any kind, by its media type", "token_ids": "token ids"}
_TOKEN_IDS = "refused, unless `token_ids: pass`"
_HEAD = "| format | kind | fields | refused by |\n|---|---|---|---|\n"


def unread(codec: JsonCodec[Any]) -> dict[str, list[MapPlace]]:
    """Returns the places of a request that no check reads, by the kind that a record names."""
    found: dict[str, list[MapPlace]] = {}
    for place in places(codec.grammar.request, codec.contract.words.values):
        if place.leaf.how in UNREAD:
            kind = "token_ids" if place.leaf.how == "token_ids" else place.leaf.media or place.leaf.how
            found.setdefault(kind, []).append(place)
    return found


def field(place: MapPlace) -> str:
    """Returns the name of a place on the page: the last two names of its path, in the spelling of the API."""
    steps = ["*" if step == OTHER else step for step in place.path if step != "[]"]
    return ".".join(steps[-2:])


def table() -> str:
    """Returns the table."""
    rows = []
    for codec in codecs():
        if isinstance(codec, JsonCodec):
            for kind, found in sorted(unread(codec).items()):
                fields = sorted({field(place) for place in found if not _is_other_spelling(place, found)})
                names = ", ".join(f"`{name}`" for name in fields)
                media = _MEDIA.get(kind, kind)
                refusal = _TOKEN_IDS if kind == "token_ids" else f"`opaque: {{{media}: refuse}}`"
                rows.append(f"| `{codec.name}` | {_WORDS.get(kind, media)} | {names} | {refusal} |\n")
    return _HEAD + "".join(rows)


def _is_other_spelling(place: MapPlace, found: list[MapPlace]) -> bool:
    """Whether the place is written with underscores and the same place with capitals is listed too."""
    if "_" not in place.name:
        return False
    plain = place.name.replace("_", "").casefold()
    return any(other.name.casefold() == plain for other in found)


def page(text: str) -> str:
    """Returns the page with the table."""
    return BLOCK.sub(lambda match: table(), text)
