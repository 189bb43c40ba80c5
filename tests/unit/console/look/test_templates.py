"""What every template of the console keeps to, so that a text from an exchange stays a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError

from guardproxy.console.look import ASSETS, Templates
from guardproxy.console.look import assets as look_assets
from guardproxy.console.look.plots import line_points, share
from guardproxy.console.look.templates import count, money, when

CONSOLE = Path(__file__).resolve().parents[4] / "guardproxy" / "console"
LOOK = CONSOLE / "look"
TEMPLATES = sorted(CONSOLE.rglob("*.html"))
SOURCES = sorted(path for path in CONSOLE.rglob("*.py") if LOOK not in path.parents)
TAG = re.compile(r"<[a-zA-Z][^<>]*(?:<[^<>]*>[^<>]*)*>")
EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def name(path: Path) -> str:
    return path.relative_to(CONSOLE).as_posix()


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_a_template_is_read_and_has_no_way_around_the_policy(path: Path) -> None:
    text = path.read_text("utf-8")
    Environment(autoescape=True).parse(text)
    assert "autoescape" not in text
    assert not re.search(r"\|\s*(safe|tojson|urlize|xmlattr)\b", text), "texts stay texts"
    plain = EXPRESSION.sub("0", text)
    for tag in TAG.findall(plain):
        assert not re.search(r"\sstyle\s*=", tag), f"no style attribute: {tag}"
        assert not re.search(r"\son\w+\s*=", tag), f"no handler: {tag}"
        assert not re.search(r"\shx-on|js:|javascript:", tag), f"no script: {tag}"
        if re.search(r"\shx-(?!nonce)", tag):
            assert "hx-nonce" in tag, f"hx-csp removes what has no nonce: {tag}"
        if tag.startswith("<script"):
            assert "src=" in tag, "no script in a page"
            assert "nonce=" in tag
        if tag.startswith("<form") and 'method="post"' in tag:
            assert "csrf" in text or path.name == "sign_in.html", f"no token: {tag}"
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", plain), "nothing from another host"
    assert "<style" not in plain


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_page_makes_markup_of_its_own(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"(?m)^\s*(import|from) (markupsafe|jinja2)", text)
    assert "Markup(" not in text


def test_the_style_sheet_loads_nothing() -> None:
    sheet = (LOOK / "console.css").read_text("utf-8")
    assert "url(" not in sheet
    assert "@import" not in sheet
    script = (LOOK / "console.js").read_text("utf-8")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", script)


def test_a_vendored_file_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for vendored in look_assets.VENDORED:
        assert ASSETS[vendored].integrity == f"sha384-{look_assets.VENDORED[vendored]}"
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor/htmx.min.js").write_text("alert(1)")
    monkeypatch.setattr(look_assets, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="not the file that was released"):
        look_assets.Asset.read("vendor/htmx.min.js")
    assert (LOOK / "vendor" / "LICENSE-htmx").read_text("utf-8").startswith("Zero-Clause BSD")


def test_a_value_that_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ missing }}")
    with pytest.raises(UndefinedError):
        Templates({"own": tmp_path}).text("own/page.html", {"nonce": "", "csrf_token": ""}, is_part=True)


def test_macros_escape_what_they_get(tmp_path: Path) -> None:
    hostile = "\"><script>alert(1)</script><b hx-get='/evil' onclick=x>\u202e"
    calls = (
        "ui.page_head(t, t)", "ui.badge(t, 'bad', t)", "ui.empty(t, t, t)", "ui.copied(t)", "ui.figure(t, t, t, '', t)",
        "ui.note(t, 'bad', t)", "ui.spark([1, 2], t)", "ui.bars([(t, 1, t)], t)", "ui.facts([(t, t)])", "ui.key(t)",
        "ui.tabs([(t, t, true)], t)", "ui.pager(t, t)", "ui.table([t, (t, t)], t, t)",
        "ui.field(t, t, t, hint=t, placeholder=t)",
        "ui.field(t, t, t, 'textarea')", "ui.field(t, t, t, 'select', options=[t, (t, t)], error=t)",
        "ui.field(t, t, t, 'checkbox')",
        "ui.pieces([{'text': t, 'kind': 'bad', 'title': t}, {'text': t, 'kind': ''}])",
        "ui.timeline([{'at': 1, 'until': 2, 'label': t, 'kind': 'bad'}], 3, t)",
    )  # fmt: skip
    (tmp_path / "page.html").write_text("\n".join(f"{{{{ {call} }}}}" for call in calls))
    html = Templates({"own": tmp_path}).text(
        "own/page.html", {"nonce": "", "csrf_token": "", "t": hostile}, is_part=True
    )
    assert "<script" not in html
    assert "<b " not in html
    for tag in TAG.findall(html):
        assert "hx-get" not in re.sub(r'"[^"]*"', "", tag), tag
    html = re.sub(r"(?s)>\n[^<]*</textarea>", "></textarea>", html)  # what a person changes is as it is
    assert "\u202e" not in re.sub(
        r'(?:value|href|class|placeholder|id|for|name|data-copy|aria-describedby)="[^"]*"', "", html
    )


def test_a_name_that_no_address_holds_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{% call ui.to('now', '/', t, '/x', 'mono') %}{{ t }}{% endcall %}")

    def made(name: str) -> str:
        context = {"nonce": "", "csrf_token": "", "t": name, "url": lambda page, path: f"/{page}{path}"}
        return Templates({"own": tmp_path}).text("own/page.html", context, is_part=True)

    assert made("ann") == '<a class="mono" href="/now/ann/x">ann</a>'
    assert made("<b>/..") == '<span class="mono">&lt;b&gt;/..</span>'


def test_plots_have_places_for_any_numbers() -> None:
    assert line_points([], 10, 4) == ""
    assert line_points([0, 0], 10, 4) == "0.0,4.0 10.0,4.0"
    assert line_points([1, float("nan"), 2], 10, 4) == "0.0,2.0 5.0,4.0 10.0,0.0"
    assert [share(*pair) for pair in ((1, 2), (3, 2), (-1, 2), (1, 0), (float("inf"), 2))] == [0.5, 1.0, 0.0, 0.0, 0.0]


def test_numbers_are_shown_for_people() -> None:
    assert when(0) == "1970-01-01 00:00:00"
    assert count(1234567) == "1,234,567"
    assert [money(0), money(0.00123), money(1234.5)] == ["0.00", "0.0012", "1,234.50"]


@pytest.mark.parametrize(("unix_s", "words"), [(-1e300, "1970-01-01 00:00:00"), (1e300, "9999-12-31 23:59:59")])
def test_a_time_that_no_calendar_has_is_shown_as_the_nearest(unix_s: float, words: str) -> None:
    assert when(unix_s) == words
