"""What a sealed record shows."""

from __future__ import annotations

from guardproxy.audit.sealing.hiding import without_texts
from tests.kit.records import plain_answer, plain_record, plain_text


def test_texts_and_keys_that_are_text_are_removed_and_the_rest_is_shared() -> None:
    document = plain_record(plain_answer(plain_text("m.KEY", "SECRET")), plain_text("m.KEY", "SECRET")).document()
    shown = without_texts(document, {"m.KEY": "m.*"})
    assert [side["texts"][0]["path"] for side in (shown["request"], shown["response"])] == ["m.*", "m.*"]
    assert [side["texts"][0]["text"] for side in (shown["request"], shown["response"])] == [None, None]
    assert "SECRET" not in str(shown)
    assert "SECRET" in str(document)
    assert shown["usage"] is document["usage"]


def test_a_document_without_texts_is_shared_whole() -> None:
    document = plain_record().document()
    shown = without_texts(document, {})
    assert all(shown[name] is value for name, value in document.items())
