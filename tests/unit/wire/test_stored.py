"""Where answers name what is stored."""

from __future__ import annotations

from guardproxy.wire.json import OTHERS, STRUCTURE, UNMAPPED, Map, MapFields, naming
from guardproxy.wire.stored import StoredIds

_ID = naming("answer")


def test_the_objects_of_an_answer_that_have_ids_are_listed() -> None:
    answer: MapFields = {
        "id": _ID,
        "earlier": _ID,
        "word": STRUCTURE,
        "talk": lambda value: {"id": _ID} if isinstance(value, dict) else _ID,
        "deep": {"more": {"id": _ID}, "list": [{"id": _ID}]},
        OTHERS: UNMAPPED,
    }
    assert StoredIds({}, answer, own=(), lasting=frozenset()).places == {
        (): {b"id", b"earlier", b"talk"},
        (b"talk",): {b"id"},
        (b"deep", b"more"): {b"id"},
    }


def _more(value: object) -> Map:
    return REQUEST if isinstance(value, dict) else UNMAPPED


REQUEST: MapFields = {
    "earlier": _ID,
    "talk": lambda value: {"id": _ID} if isinstance(value, dict) else _ID,
    "input": [{"id": _ID}],
    "extra": _more,
    OTHERS: UNMAPPED,
}
STORED = StoredIds(REQUEST, {"id": _ID}, own=(("answer", "id"), ("id",)), lasting=frozenset(("talk",)))


def test_the_references_of_a_request_come_from_its_map() -> None:
    assert {("earlier",), ("talk",), ("talk", "id"), ("extra", "earlier"), ("extra", "talk", "id")} <= set(
        STORED.references
    )
    assert max(map(len, STORED.references)) == 3
    tree = {"earlier": "a", "talk": {"id": "b"}, "extra": {"talk": "c", "earlier": "a"}, "input": [{"id": "d"}]}
    assert STORED.referred(tree) == ("a", "b", "c")
    assert STORED.referred(tree, lasting=True) == ("b", "c")
    assert STORED.referred({"earlier": None, "talk": [1], "extra": "x"}) == STORED.referred(["a"]) == ()
    assert STORED.referred({"earlier": "x" * 513}) == ()
    many = {"earlier": "a", "talk": "b", "extra": {"earlier": "c", "talk": "d", "extra": {"earlier": "e", "talk": "f"}}}
    assert STORED.referred(many) == ("a", "b", "c", "d")


def test_an_answer_says_its_own_id_in_one_of_two_places() -> None:
    assert STORED.own_id({"answer": {"id": "a"}, "id": "b"}) == "a"
    assert STORED.own_id({"id": "b", "earlier": "c"}) == "b"
    assert STORED.own_id({"answer": {}}) == STORED.own_id(None) == ""
