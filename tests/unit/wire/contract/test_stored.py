"""Where answers name what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardproxy.wire.contract.stored import StoredIds
from guardproxy.wire.json import OTHERS, STRUCTURE, UNMAPPED, Map, MapFields, naming

_ID = naming("answer")


def stored(request: Map, answer: Map) -> StoredIds:
    return StoredIds(
        request,
        answer,
        own=(("answer", "id"), ("id",)),
        lasting=frozenset(("talk",)),
        prefixes=("thread_", "a.b-"),
        collections=("threads", "talks"),
        operations=frozenset(("count",)),
        made_by={"GET /threads/{id}": "POST /threads"},
    )


def test_the_objects_of_an_answer_that_have_ids_are_listed() -> None:
    answer: MapFields = {
        "id": _ID,
        "earlier": _ID,
        "word": STRUCTURE,
        "talk": lambda value: {"id": _ID} if isinstance(value, dict) else _ID,
        "deep": {"more": {"id": _ID}, "list": [{"id": _ID}]},
        OTHERS: UNMAPPED,
    }
    assert stored({}, answer).places == {
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
STORED = stored(REQUEST, {"id": _ID})


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


@pytest.mark.parametrize("name", ["thread_1", "a.b-x=", "thread_" + "x" * 400])
def test_an_id_begins_with_a_prefix_of_the_format(name: str) -> None:
    assert STORED.is_id(name)
    assert STORED.is_id(name.encode())
    assert STORED.is_like_id(f"\u2003{name}\ufeff ")
    assert STORED.may_have_ids(f'{{"id": "{name}"}}'.encode())


@pytest.mark.parametrize("name", ["resp_1", "thread_", "axb-1", "thread_1\n", "thread_\u00e9", "thread_" + "x" * 401])
def test_any_other_text_is_no_id(name: str) -> None:
    assert not STORED.is_id(name)
    assert not STORED.is_id(name.encode())
    assert not STORED.may_have_ids(b'{"id": "resp_1", "x": "a thread_1"}')


@pytest.mark.parametrize(
    ("path", "parts", "about"),
    [
        ("/v1/threads/thread%5F1", ("/v1/threads/", "thread_1", ""), True),
        ("/v1/talks/x/items", ("/v1/talks/", "x", "/items"), True),
        ("/v1/threads/count", None, True),
        ("/v1/threads", None, True),
        ("/v1/threads/", None, True),
        ("/v1/threadsx/y", None, False),
        ("/v1/responses/resp_1", None, False),
    ],
)
def test_a_path_is_about_what_is_stored(path: str, parts: tuple[str, str, str] | None, about: bool) -> None:
    assert (STORED.split_path(path), STORED.is_about(path)) == (parts, about)
    assert STORED.without_id(path, sealed=True) == (path if parts is None else f"{parts[0]}id{parts[2]}")
    assert STORED.deleted_id(path) == (parts[1] if parts is not None and not parts[2] else "")


@pytest.mark.parametrize(
    "change", [{"prefixes": ()}, {"prefixes": ("a_", "")}, {"collections": ()}, {"collections": ("",)}]
)
def test_a_format_must_say_the_forms_of_its_ids_and_paths(change: dict[str, tuple[str, ...]]) -> None:
    """Without prefixes no id would be found in an answer, and none would be sealed."""
    with pytest.raises(ValueError, match="must name at least one text"):
        replace(STORED, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "is_made"),
    [
        ("thread_67ccd2bed1ec8190b14f964a", True),
        ("a.b-67ccd2bed1ec8190b14f964abc0542670bb6", True),
        ("thread_4111111111111111", False),
        ("thread_67ccd2be-1ec8190b14f964abc05", False),
        ("x_67ccd2bed1ec8190b14f964a", False),
    ],
)
def test_without_seals_only_an_id_that_a_machine_made_stands_for_a_parameter(name: str, is_made: bool) -> None:
    path = f"/threads/{name}"
    assert STORED.without_id(path, sealed=False) == ("/threads/id" if is_made else path)


def test_the_path_of_a_request_that_reads_back_names_what_is_stored() -> None:
    assert STORED.read_back("GET /threads/{id}", "/threads/thread_1") == "thread_1"
    assert STORED.read_back("POST /threads", "/threads/thread_1") == ""
    assert STORED.read_back("GET /threads/{id}", "/threads") == ""
