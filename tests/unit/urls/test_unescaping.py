"""Escapes in any nesting are decoded to a fixed point, however the text is cut, and every character keeps its place."""

from __future__ import annotations

import pytest

from guardproxy.urls.unescaping import Unescaping, unescaped


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain, 100% & more", "plain, 100% & more"),
        ("&lt;form", "<form"),
        ("&ltform &LT;", "<form <"),
        ("&amp;lt;form", "<form"),
        ("&amp;amp;amp;#x3c;", "<"),
        ("&#38;#60;x", "<x"),
        ("&#60x&#X3Cx", "<x<x"),
        ("&#47&#47a", "//a"),
        ("&#&#52;&#55;;", "/"),
        ("%3Cform %253Cform %25253c", "<form <form <"),
        ("%2&#102;", "/"),
        ("\\u003cform\\x3c", "<form<"),
        ("\\2f\\2f a\\00002f\nb", "//a/b"),
        ("\\2fa0000 /\\evil", "\\2fa0000 /\\evil"),
        ("&#92;2f a", "/a"),
        ("&#92;&#50;&#102; a", "/a"),
        ("&colon;&sol;&period;&copy;", ":/.&copy;"),
        ("&&lt;&am", "&<&am"),
        ("%2", "%2"),
        ("a\\", "a\\"),
        ("&#;&#x;&#xg", "&#;&#x;&#xg"),
        ("&#0;&#x110000;", "\ufffd\ufffd"),
        ("%zz\\y\\uzz", "%zz\\y\\uzz"),
        ("&amp;", "&"),
        ("&amp", "&"),
        ("&#" + "0" * 60 + "58;", "&#" + "0" * 60 + "58;"),
        ("%" * 40 + "41", "%" * 39 + "A"),
        ("&am\\&#112;x", "&am\\px"),
        ("&#60\u00b2", "<\u00b2"),
        ("&lt;input&#32%x value=", "<input %x value="),
        ("&amp;lt& &amp;lt&", "<& <&"),
        ("&amp;#47&amp;#47&x", "//&x"),
    ],
)
def test_escapes_are_decoded(text: str, decoded: str) -> None:
    assert unescaped(text) == decoded
    for size in (1, 2, 3):
        unescaping, out = Unescaping(), list[tuple[str, int, int]]()

        def emit(part: str, start: int, end: int, out: list[tuple[str, int, int]] = out) -> None:
            out.append((part, start, end))

        for at in range(0, len(text), size):
            unescaping.feed(text[at : at + size], emit)
            assert unescaping.start <= unescaping.at == min(len(text), at + size)
        rest = list(out)
        unescaping.copy().finish(lambda part, start, end, rest=rest: rest.append((part, start, end)))  # type: ignore[misc]
        unescaping.finish(emit)
        assert out == rest
        assert "".join(part for part, _, _ in out) == decoded
        assert [start for _, start, _ in out] == [0, *(end for _, _, end in out)][: len(out)]
        assert out[-1][2] == len(text)
