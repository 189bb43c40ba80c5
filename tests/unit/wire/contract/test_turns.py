"""What the model answered, as text and as calls; what a conversation began with."""

from __future__ import annotations

from guardproxy.wire.contract.turns import Call, ModelTurn, first_text


def test_arguments_are_an_object_or_nothing() -> None:
    assert Call("f", '{"a": 1}').input() == {"a": 1}
    assert Call("f", "[1]").input() is None
    assert Call("f", '{"a": ').input() is None


def test_an_answer_in_words() -> None:
    call = Call("f", "{}")
    assert ModelTurn("so", (call,)).in_words() == "so\nI called the tool `f` with these arguments: {}"
    assert ModelTurn().in_words() == "(nothing)"


def test_calls_are_repeated_only_where_all_can_be() -> None:
    assert ModelTurn("", (Call("f", "{}"),)).can_be_called
    assert not ModelTurn("", (Call("f", "{}"), Call("g", "{"))).can_be_called
    assert not ModelTurn("so").can_be_called


def test_the_first_text_of_the_user() -> None:
    assert (
        first_text([{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "a"}, {"text": "b"}]}])
        == "ab"
    )
    assert first_text("x") == ""
