"""`structuredContent` and the texts of a result get the same edits, whichever of them a check finds something in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.wire.formats.mcp.structured import WITHHELD, aligned

MAIL, MARK = "mara@example.com", "[MAIL]"


def result(value: Any, *texts: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text} for text in texts], "structuredContent": value}


def joined(before: Any, after: Any) -> Any:
    copy: Any = json.loads(json.dumps(after))
    return aligned(before, copy)


@pytest.mark.parametrize(
    ("value", "text", "edited"),
    [
        ({"mail": MAIL}, '{"mail": "mara@example.com"}', {"mail": MARK}),
        ({"mail": MAIL}, '{\n  "mail": "mara\\u0040example.com"\n}', {"mail": MARK}),
        ({"result": MAIL}, MAIL, {"result": MARK}),
        ({"result": [1, MAIL]}, '[1, "mara@example.com"]', {"result": [1, MARK]}),
        ({MAIL: [{"a": None}]}, '{"mara@example.com": [{"a": null}]}', {MARK: [{"a": None}]}),
        (MAIL, MAIL, MARK),
    ],
)
def test_a_text_that_shows_the_value_has_its_edits_and_it_those_of_the_text(value: Any, text: str, edited: Any) -> None:
    before = result(value, text)
    new = text.replace(MAIL, MARK).replace("mara\\u0040example.com", MARK)
    for after in (result(edited, text), result(value, new), result(edited, new)):
        done = joined(before, after)
        assert done["structuredContent"] == edited
        shown = done["content"][0]["text"]
        assert MAIL not in shown
        assert "\\u0040" not in shown
        assert shown == MARK if not text.startswith(("{", "[")) else json.loads(shown) in (edited, edited.get("result"))


def test_each_item_of_a_list_has_a_text() -> None:
    before = result({"result": ["a", MAIL]}, "a", MAIL)
    assert joined(before, result({"result": ["a", MAIL]}, "a", MARK)) == result({"result": ["a", MARK]}, "a", MARK)
    assert joined(before, result({"result": ["a", MARK]}, "a", MAIL)) == result({"result": ["a", MARK]}, "a", MARK)


def test_what_both_sides_changed_in_other_places_is_withheld() -> None:
    before = result({"a": f"{MAIL} 4711"}, json.dumps({"a": f"{MAIL} 4711"}))
    after = result({"a": f"{MARK} 4711"}, json.dumps({"a": f"{MAIL} [N]"}))
    done = joined(before, after)
    assert done["structuredContent"] == {"a": WITHHELD}
    assert json.loads(done["content"][0]["text"]) == {"a": WITHHELD}


def test_a_number_that_became_a_text_keeps_both_json() -> None:
    before = result({"n": 4711, "m": 1}, '{"n": 4711, "m": 1}')
    done = joined(before, result({"n": 4711, "m": 1}, '{"n": [N], "m": 1}'))
    assert "4711" not in json.dumps(done)


def test_other_words_around_a_string_of_the_value() -> None:
    before = result({"mail": MAIL, "n": 4711}, f"Write to {MAIL}, please: 4711.")
    found_in_value = joined(before, result({"mail": MARK, "n": 4711}, f"Write to {MAIL}, please: 4711."))
    assert found_in_value == result({"mail": MARK, "n": 4711}, f"Write to {MARK}, please: 4711.")
    found_in_text = joined(before, result({"mail": MAIL, "n": 4711}, f"Write to {MARK}, please: 4711."))
    assert found_in_text == {"content": [{"type": "text", "text": f"Write to {MARK}, please: 4711."}]}
    in_both = result({"mail": MARK, "n": 4711}, f"Write to {MARK}, please: 4711.")
    assert joined(before, in_both) == in_both
    quoted = result({"a": 'say "hi" now'}, 'x {"a": "say \\"hi\\" now"}')
    assert joined(quoted, result({"a": "[A]"}, 'x {"a": "say \\"hi\\" now"}')) == result({"a": "[A]"}, 'x {"a": "[A]"}')


def test_many_strings_that_changed_are_not_followed() -> None:
    value = {"result": {str(number): f"value {number}" for number in range(300)}, "x": 1}
    edited = {"result": {str(number): "[V]" for number in range(300)}, "x": 1}
    assert "structuredContent" not in joined(result(value, "some words"), result(edited, "some words"))
    assert "structuredContent" not in joined(result(value, "some words"), result(value, "words"))
    assert "structuredContent" in joined(result({"a": "value"}, "some words"), result({"a": "value"}, "words"))


def test_a_member_that_an_edit_took_away_leaves_nothing_behind() -> None:
    wrapped = result({"result": [MAIL, "b"]}, MAIL, "b")
    for value in ({"[KEY]": [MAIL, "b"]}, {"result": MARK}, MARK):
        done = joined(wrapped, result(value, MAIL, MARK))
        assert MAIL not in json.dumps(done)
    shorter = joined(result([MAIL, "b", 1], "x"), result([MARK], "x"))
    assert shorter == result([MARK], "x")


def test_both_sides_renamed_keys_and_changed_items() -> None:
    value = {"a": ["x", MAIL, True], "b": {"c": MAIL}}
    before = result(value, json.dumps(value))
    after = result(
        {"[A]": ["[X]", MAIL, True], "b": {"c": MARK}}, json.dumps({"a": ["x", MARK, True], "[B]": {"c": MAIL}})
    )
    assert joined(before, after)["structuredContent"] == {"[A]": ["[X]", MARK, True], "[B]": {"c": MARK}}
    other = joined(result(value, "some words"), result({"a": ["x", MARK, True], "b": {"c": MAIL}}, "some words"))
    assert other["structuredContent"]["a"] == ["x", MARK, True]


def test_what_needs_no_edit_stays_as_it_is() -> None:
    same: Any
    for same in (
        result({"a": 1}, '{"a": true}'),
        {"content": [{"type": "image", "data": ""}, "x"], "structuredContent": [MAIL]},
        {"content": "x", "structuredContent": {"a": 1}},
        {"content": [], "structuredContent": None},
        [result({"a": "b"}, '{"a": "b"}')],
    ):
        assert joined(same, same) == same
    image = {"content": [{"type": "image", "data": ""}], "structuredContent": {"a": MAIL}}
    assert joined(image, {**image, "structuredContent": {"a": MARK}})["structuredContent"] == {"a": MARK}


def test_a_result_inside_of_another_message_is_found() -> None:
    def nested(mail: str) -> Any:
        return {"result": {"content": [{"type": "tool_result", **result({"a": mail}, json.dumps({"a": MAIL}))}]}}

    assert MAIL not in json.dumps(joined(nested(MAIL), nested(MARK)))


LEAVES = st.sampled_from([MAIL, "other words", 4711, True, None, f"{MAIL} and more", "\u00e9"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


def edited(node: Any, places: set[int], count: list[int]) -> Any:
    """A value whose strings with an address are edited at these places."""
    if isinstance(node, str):
        count[0] += 1
        return node.replace(MAIL, MARK) if count[0] in places else node
    if isinstance(node, list):
        return [edited(child, places, count) for child in node]
    return {key: edited(child, places, count) for key, child in node.items()} if isinstance(node, dict) else node


@given(VALUES, st.sets(st.integers(1, 6)), st.booleans())
def test_what_one_of_both_hides_the_other_hides_too(value: Any, places: set[int], in_text: bool) -> None:
    text = json.dumps(value)
    new = edited(value, places, [0])
    before = result(value, text)
    after = result(value, json.dumps(new)) if in_text else result(new, text)
    done = joined(before, after)
    assert value is None or json.dumps(done["structuredContent"], sort_keys=True) == json.dumps(new, sort_keys=True)
    assert value is None or json.loads(done["content"][0]["text"]) == new or done["content"][0]["text"] == new
