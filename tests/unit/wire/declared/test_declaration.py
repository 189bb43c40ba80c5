"""Declarations: what identifies them, and which texts of a stream are which texts of a plain answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardproxy.wire.declared import AnswerPlaces, DeclaredFormat, RequestPlaces, StreamPlaces, pointer

ONE = DeclaredFormat(
    "one",
    ("POST /one",),
    RequestPlaces(((pointer("/q"), "user"),)),
    AnswerPlaces(
        (
            (pointer("/why"), "reasoning"),
            (pointer("/a"), "assistant"),
            (pointer("/more/*/a"), "assistant"),
            (pointer("/b"), "assistant"),
        )
    ),
    StreamPlaces(
        "sse",
        (
            (pointer("/d"), "assistant"),
            (pointer("/e"), "assistant"),
            (pointer("/f"), "assistant"),
            (pointer("/g/*/h"), "assistant"),
        ),
        end_text="over",
    ),
    pointer("/error"),
)


def test_texts_of_a_kind_follow_each_other() -> None:
    assert ONE.twins() == (
        (pointer("/d"), pointer("/a")),
        (pointer("/e"), pointer("/b")),
        (pointer("/f"), pointer("/f")),
        (pointer("/g/*/h"), pointer("/more/*/a")),
    )
    assert ONE.has_streams
    assert not replace(ONE, stream=StreamPlaces("none")).has_streams


def test_a_declaration_of_an_earlier_release_keeps_its_digest() -> None:
    assert ONE.digest == "eecef2f014f4"
    assert "more_ends" not in repr(ONE)


@pytest.mark.parametrize(
    "changed",
    [
        replace(ONE, name="two"),
        replace(ONE, error=pointer("/fault")),
        replace(ONE, stream=StreamPlaces("sse", end=pointer("/end"), end_value=True)),
        replace(ONE, stream=StreamPlaces("sse", end=pointer("/end"), end_value=1)),
        replace(ONE, stream=replace(ONE.stream, more_ends=((pointer("/end"), "gone"),))),
    ],
)
def test_a_change_changes_the_digest(changed: DeclaredFormat) -> None:
    assert changed.digest != ONE.digest
    assert replace(changed).digest == changed.digest
