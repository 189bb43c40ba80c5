"""Places inside URLs: everything that a browser, a markdown renderer or a tool could load, and ordinary text beside it.

`@` marks the place where a value would come back.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.findings import Channel, Window
from guardproxy.redaction.placeholders import IN_FORM, IN_OTHER_TEXT, IN_URL, WITHHELD, Restoring, mint
from guardproxy.redaction.restoration import Restoration
from guardproxy.urls.reading import Reading, _Target
from tests.kit.checks import promise
from tests.kit.urls import INSIDE, MARK, PIECES, RENDERERS, TOKEN, Loads, scans

KEY = b"sixteen secret bytes"

IN_FORMS = (
    '<form action="https://evil.example/"><input name="a" value="✱"></form>',
    "<form action=/x>✱</form>",
    "<form action=/x><p>✱",
    "<form\n action=/x\n>\n✱",
    "<form/>✱",
    "<input form=f value=✱>",
    '<input value="✱">',
    "<input type=hidden name=a value='a > ✱'>",
    "<textarea name=a form=f>✱</textarea>",
    "<textarea a='</textarea>'>✱",
    "<textarea></form>✱",
    "<select name=a><option>✱",
    "<select><option value='✱'>",
    "<option><!--</option>-->✱",
    "<option></3</option>>✱",
    "<option><xmp></option></xmp>✱",
    "<form><!-- </form> -->✱",
    "<button formaction='/x' name=a value='✱'>",
    "<form action=/x><b title='</form>'>✱",
    "<p title='<form>'>✱",
    "<svg><a></svg><input value='✱'>",
    "<style></style><input value='✱'>",
    "&lt;input value='✱",
    """<select form=f><option></p x="</select>">✱""",
    """<select form=f><option></p/"</select>">✱""",
    """<!-- <a title=' --><textarea form=f title="<p>'>">✱""",
    """<!-- <a title=' --><textarea form=f title="<p>'></textarea>">✱""",
    """<!-- <a title=' --><input form=f title="<p>'>" value="✱">""",
    """<!-- <a title=' --><select form=f><option><p title="<b>" x="</select>' >">✱""",
    """<svg><![CDATA[<a title=']]></svg><textarea form=f title="<p>'>">✱""",
    "<select form=f><option><object><select></select>✱",
    "<textarea form=f></textarea<b>✱",
)

OUTSIDE = (
    "✱",
    "Dear ✱,",
    "Write to ✱.",
    "Write to ✱. Then wait.",
    "(✱)",
    "✱.✱",
    "✱.✱.✱.",
    "✱✱",
    "✱-✱",
    "([✱])",
    "a:✱",
    '"✱"',
    "**✱**",
    "Mail: ✱",
    "to:✱",
    "✱: hello",
    "✱, ✱ and ✱",
    "<b title=>✱",
    "<b =c>✱",
    "✱ at https://ok.example/a",
    "https://ok.example/a is where ✱ lives",
    "https://ok.example/a\n✱",
    "(see https://ok.example/a) ✱",
    "https://ok.example/[a] ✱",
    '"https://ok.example/a" ✱',
    "[✱](https://ok.example/a)",
    "![✱](https://ok.example/a.png)",
    "[x](https://ok.example/a) ✱",
    "[x](<https://ok.example/a>) ✱",
    '[x](https://ok.example/a "t") ✱',
    "[1]: https://ok.example/a\n✱",
    "[1]: https://ok.example/a ✱",
    "<https://ok.example/a> ✱",
    '<a href="https://ok.example/a">✱</a>',
    '<img src="a.png" alt="✱">',
    "<formula>✱</formula> < form ✱",
    '<form action="/search">a</form> ✱',
    "<form><input></form ><i>✱</i> </form>✱",
    "<form><p></p\n></form\n>✱",
    "<select><option>a<option>b</select>✱",
    "<p title='a <b'>✱",
    "<select><option>a<option>b</select> <textarea>a</textarea> ✱",
    "<textarea>a <!-- b --></textarea>".replace("<!-- b -->", "< b") + "✱",
    "&lt;✱&gt; &lt;b&gt;✱",
    "<p>✱</p>",
    "<style>p {}</style> ✱",
    "a < b and ✱",
    "if a<b: send ✱",
    "// ✱",
    "# ✱",
    "1. ✱",
    "3:✱",
    "at 10:30 ✱",
    "e.g. ✱",
    "/home/users/✱/report.txt"[:-11],
    "C: ✱",
    "| Name | ✱ |",
    "- ✱ - ✱",
    "`✱`",
    "x = ['✱', '✱']",
    "f(✱)",
    "✱'s",
    "✱…",
    "✱...",
    "✱\n",
    "✱)",
    "10/✱",
    "and/or ✱",
    "SELECT * FROM users WHERE mail = '✱'",
    'send_mail(to="✱", body="hi")',
    '{"to": "✱", "url": "https://ok.example/a"}',
)


def labels(text: str, kind: str = "assistant", **options: object) -> list[str]:
    """The labels of the placeholders that stand where the text has a mark."""
    check = Restoring({TOKEN: "jo@ab.io"}, **options)  # type: ignore[arg-type]
    window = Window(Channel("response", kind, "x"), text.replace(MARK, TOKEN))  # type: ignore[arg-type]
    return [finding.label for finding in check.scan([window])[0].findings]


@pytest.mark.parametrize("text", INSIDE)
def test_nothing_comes_back_inside_a_url(text: str) -> None:
    assert labels(text)[-1] == IN_URL


@pytest.mark.parametrize("text", OUTSIDE)
def test_ordinary_text_gets_its_values_back(text: str) -> None:
    assert set(labels(text)) == {"PLACEHOLDER"}


@pytest.mark.parametrize("text", [text for text in OUTSIDE if not text.startswith("https")])
def test_plain_tool_arguments_get_their_values_back(text: str) -> None:
    assert set(labels(text, "tool_arguments")) == {"PLACEHOLDER"}


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/?d=dear ✱",
        " https://evil.example/?d=\n\n✱",
        "ht\ttps:/\n/evil.example/?d= ✱",
        "evil.example/?d=dear ✱",
        "//evil.example/ ✱",
        "\ufeffhttps://evil.example/ ✱",
    ],
)
def test_a_string_of_a_call_that_is_a_url_is_one_to_its_end(text: str) -> None:
    assert labels(text, "tool_arguments") == [IN_URL]


@promise
@given(
    text=PIECES, cuts=st.lists(st.integers(1, 400), max_size=14), kind=st.sampled_from(["assistant", "tool_arguments"])
)
def test_what_comes_back_does_not_depend_on_the_cuts(text: str, cuts: list[int], kind: str) -> None:
    text = text.replace(MARK, TOKEN)
    where = {TOKEN: Restoration(hosts=frozenset(["ok.example"]))}
    whole = scans(text, [], Restoring({TOKEN: "jo@ab.io"}, where), kind)
    assert scans(text, cuts, Restoring({TOKEN: "jo@ab.io"}, where), kind) == whole
    assert scans(text, list(range(1, len(text))), Restoring({TOKEN: "jo@ab.io"}, where), kind) == whole


@promise
@given(before=PIECES, inside=st.sampled_from(INSIDE), cuts=st.lists(st.integers(1, 400), max_size=8))
def test_no_text_before_a_url_hides_it(before: str, inside: str, cuts: list[int]) -> None:
    """The oracle: a URL after white space, whatever stands before it."""
    text = f"{before}\n\n{inside}".replace(MARK, TOKEN)
    found = scans(text, cuts, Restoring({TOKEN: "jo@ab.io"}))
    assert found[-1][2] == IN_URL


def test_every_cut_of_every_url() -> None:
    for text in (*INSIDE, *OUTSIDE):
        full = text.replace(MARK, TOKEN)
        whole = scans(full, [], Restoring({TOKEN: "jo@ab.io"}))
        for cut in range(1, len(full)):
            assert scans(full, [cut], Restoring({TOKEN: "jo@ab.io"})) == whole, (full, cut)


ALLOWED = frozenset(["ok.example", "*.corp.example", "port.example:8443"])


@pytest.mark.parametrize(
    "text",
    [
        "https://ok.example/?d=✱",
        "[x](https://ok.example/✱)",
        "[x](<https://ok.example/✱>)",
        '<a href="https://ok.example/?d=✱">',
        "[1]: https://ok.example/✱",
        "https://a.corp.example/✱",
        "https://a.b.corp.example/x#✱",
        "https://port.example:8443/✱",
        "http://OK.example/✱/✱",
    ],
)
def test_an_allowed_host_gets_values(text: str) -> None:
    assert set(labels(text, restorations={TOKEN: Restoration(hosts=ALLOWED)})) == {"PLACEHOLDER"}
    assert set(labels(text)) == {IN_URL}


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example/ok.example/✱",
        "https://ok.example✱",
        "https://ok.example.evil.example/✱",
        "https://ok.example@evil.example/✱",
        "https://ok.example:x@evil.example/✱",
        "https://ok.example\\@evil.example/✱",
        "https://ok.example\\.evil.example/✱",
        "https://ok.example:80:80/✱",
        "https://ok.example:8443/✱",
        "https://port.example/✱",
        "https://corp.example/✱",
        "https://xcorp.example/✱",
        "https://ok.example/r?u=https://evil.example/✱",
        "https://ok.example/r?u=//evil.example/✱",
        "https:ok.example/✱",
        "https:\\\\ok.example/✱",
        "//ok.example/✱",
        "ok.example/✱",
        "ftp://ok.example/✱",
        "javascript://ok.example/%0a✱",
        "https://ok.example&#64;evil.example/✱",
        "https://ok.example%40evil.example/✱",
        "https://ok。example/✱",
        "https://\u043ek.example/✱",
        "https://ok.example\t.evil.example/✱",
        "[x](https://ok.example/a https://evil.example/✱)",
        "https://ok.example/a(✱)",
        "[x](https://ok.example\n.evil.example/✱)",
        '<a href="https://ok.example/ ✱">',
        "<img srcset='https://ok.example/a 1x, https://evil.example/✱ 2x'>",
        "![x](https://evil.example/?u=[y](https://ok.example/✱))",
        "<script>x = 'https://ok.example/✱'</script>",
    ],
)
def test_no_spelling_passes_for_an_allowed_host(text: str) -> None:
    assert labels(text, restorations={TOKEN: Restoration(hosts=ALLOWED)})[-1] == IN_URL


def test_only_the_kinds_that_a_rule_names_get_values() -> None:
    where = {TOKEN: Restoration(kinds=frozenset(["tool_arguments"]))}
    assert labels("to ✱", restorations=where) == [IN_OTHER_TEXT]
    assert labels("to ✱", "tool_arguments", restorations=where) == ["PLACEHOLDER"]


def test_a_value_that_is_a_url_carries_no_other_value() -> None:
    other = mint(KEY, "t", "URL", "https://evil.example/")
    values = {TOKEN: "jo@ab.io", other: "https://evil.example/"}
    found = scans(f"{other}?d={TOKEN}", [], Restoring(values))
    assert [label for _, _, label in found] == ["PLACEHOLDER", IN_URL]


def test_the_strings_of_a_call_are_read_apart() -> None:
    text = f"https://evil.example/\n{TOKEN}\nurl\nhttps://evil.example/ {TOKEN}"
    starts = (0, 22, text.index("url"), text.index("url") + 4)
    window = Window(Channel("response", "tool_arguments", "x"), text, leaves=starts)
    found = Restoring({TOKEN: "jo@ab.io"}).scan([window])[0].findings
    assert [finding.label for finding in found] == ["PLACEHOLDER", IN_URL]


def test_where_two_policies_agree_is_where_both_agree() -> None:
    one = Restoration(frozenset(["assistant", "tool_arguments"]), frozenset(["*.a.example", "b.example"]))
    other = Restoration(frozenset(["assistant"]), frozenset(["x.a.example", "b.example", "c.example"]))
    both = one & other
    assert both == Restoration(frozenset(["assistant"]), frozenset(["x.a.example", "b.example"]))
    assert both <= one
    assert both <= other
    assert not one <= other
    assert Restoration() & one == Restoration(one.kinds)


@pytest.mark.parametrize(
    "unit",
    [
        "/",
        "[",
        "a.",
        "https://x ",
        "](",
        "<a ",
        "<a b='",
        "'",
        '"',
        "(",
        "x=",
        "]:",
        "url(",
        "\\",
        "<",
        "a.b/",
        "&",
        " ",
        "\n",
        ";",
        "a:",
        "[a:",
        "&sol;",
        "..",
        "a/",
    ],
)
def test_the_work_is_linear(unit: str) -> None:
    """Counts the calls of Python functions: a text of twice the length may need little more than twice of them."""
    import sys

    def calls(count: int) -> int:
        made = 0

        def trace(frame: object, event: str, arg: object) -> None:
            nonlocal made
            made += 1

        reading = Reading(leaf=True)
        text = unit * count
        sys.setprofile(trace)
        try:
            for at in range(0, len(text), 50):
                reading.feed(text[at : at + 50])
        finally:
            sys.setprofile(None)
        return made

    small, large = calls(500), calls(1000)
    assert large <= 2.2 * small + 50


def loads(text: str, word: str) -> bool:
    reader = Loads(word)
    reader.feed(text)
    reader.close()
    return reader.found


@promise
@given(text=PIECES, inside=st.sampled_from(("", *INSIDE)), after=PIECES)
def test_no_renderer_makes_a_url_of_a_value(text: str, inside: str, after: str) -> None:
    """The oracles are a markdown renderer and a reader of HTML, on the whole text that the client would see."""
    value = "jo4ab7io"
    source = (text + inside + after).replace(MARK, TOKEN)
    shown, at = "", 0
    for start, end, label in scans(source, [], Restoring({TOKEN: value})):
        shown += source[at:start] + (value if label == "PLACEHOLDER" else source[start:end])
        at = end
    shown += source[at:]
    assert not loads(shown, value)
    for renderer in RENDERERS:
        assert not loads(renderer.render(shown), value)


def test_the_end_of_a_longer_word_opens_no_target_when_the_text_goes_on() -> None:
    """`xurl(` opens nothing, and neither does its end, which is kept for the next piece of the text."""
    target = _Target()
    target.feed("URLurl((")
    target.feed('"')
    assert target.url is None
    target.feed(" url(")
    assert target.url == ""


@pytest.mark.parametrize("text", IN_FORMS)
def test_nothing_comes_back_inside_a_form(text: str) -> None:
    shown = text.replace(MARK, TOKEN)
    for cuts in ([], *([at] for at in range(1, len(shown))), list(range(1, len(shown)))):
        found = scans(shown, cuts, Restoring({TOKEN: "jo@ab.io"}))
        assert [label for _, _, label in found] == [IN_FORM]


def test_an_allowed_host_of_urls_allows_no_form() -> None:
    """Where a form leads is one thing, where a URL in it leads is another."""
    for text, label in (
        ("<form action=/x><a href='https://ok.example/✱'>", IN_FORM),
        ("https://ok.example/✱", "PLACEHOLDER"),
    ):
        check = Restoring({TOKEN: "a"}, {TOKEN: Restoration(hosts=frozenset({"ok.example"}))})
        assert [found for _, _, found in scans(text.replace(MARK, TOKEN), [], check)] == [label]


def test_an_escape_that_is_not_complete_may_open_a_form() -> None:
    reading = Reading()
    for part, is_in_form in (("a &amp;lt", False), (";input value=&am", True), ("p;lt;b", True)):
        reading.feed(part)
        assert reading.is_in_form is is_in_form
    reading = Reading()
    reading.feed("&lt;form&gt")
    assert reading.is_in_form


LAYERS = (
    lambda char: f"&#{ord(char)};",
    lambda char: f"&#x{ord(char):X};",
    lambda char: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(char, char),
    lambda char: f"%{ord(char):02x}",
    lambda char: f"\\u{ord(char):04x}",
    lambda char: f"\\x{ord(char):02x}",
)


@promise
@given(st.data())
def test_a_form_in_any_nesting_of_escapes_is_a_form(data: st.DataObject) -> None:
    """Escapes some characters of the markup, then some characters of the result, up to four times."""
    text = data.draw(st.sampled_from(IN_FORMS[:16]))
    text = "".join(char.upper() if data.draw(st.booleans()) else char for char in text)
    for layer in data.draw(st.lists(st.sampled_from(LAYERS), max_size=4)):
        whole = data.draw(st.booleans())
        text = "".join(
            layer(char) if char != MARK and (whole or char in "<>&" or data.draw(st.booleans())) else char
            for char in text
        )
    shown = text.replace(MARK, TOKEN)
    cuts = data.draw(st.lists(st.integers(1, len(shown)), max_size=6))
    found = scans(shown, cuts, Restoring({TOKEN: "jo@ab.io"}))
    assert [label in WITHHELD for _, _, label in found] == [True]
    assert scans(shown, [], Restoring({TOKEN: "jo@ab.io"})) == found
