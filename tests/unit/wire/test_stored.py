"""Where answers name what is stored."""

from __future__ import annotations

from guardproxy.wire.json import OTHERS, STRUCTURE, UNMAPPED, naming
from guardproxy.wire.stored import StoredIds

_ID = naming("answer")


def test_the_objects_of_an_answer_that_have_ids_are_listed() -> None:
    answer = {
        "id": _ID,
        "earlier": _ID,
        "word": STRUCTURE,
        "talk": lambda value: {"id": _ID} if isinstance(value, dict) else _ID,
        "deep": {"more": {"id": _ID}, "list": [{"id": _ID}]},
        OTHERS: UNMAPPED,
    }
    assert StoredIds({}, answer).places == {
        (): {b"id", b"earlier", b"talk"},
        (b"talk",): {b"id"},
        (b"deep", b"more"): {b"id"},
    }
