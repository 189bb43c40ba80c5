"""HTML pages that stand alone: a frame, tables and texts, for screens and for print.

In: texts and rows. Out: HTML. A page has its style in itself, no script, and loads nothing. Its content security policy
allows only its own style sheet, so a text from a log cannot become markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --found: #fd06; --loose: #c33; --tight: #283; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; vertical-align: top;
  border-bottom: 1px solid var(--line); } td.number, th.number { text-align: right; }
code, blockquote { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
blockquote { white-space: pre-wrap; margin: .3rem 0; padding: .5rem .8rem; background: var(--soft); border-radius: .3rem; }
mark { background: var(--found); color: inherit; padding: 0 .1rem; border-bottom: 2px solid; }
mark sub { font-size: .75em; opacity: .8; padding-left: .2em; }
.loosens { color: var(--loose); font-weight: 600; } .tightens { color: var(--tight); } .quiet { opacity: .7; }
article { break-inside: avoid; margin: 1rem 0; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; } h2 { break-after: avoid; }
  mark { background: none; border: 1px solid; } blockquote { border: 1px solid #999; } }
"""
_NUMBER = ' class="number"'
_BREAKS: Mapping[str, str] = {"\n": "\n", "\t": "\t"}


def webpage(title: str, body: Iterable[str], style: str = STYLE) -> str:
    """Returns a page. `title`: a plain text. `body`: lines of HTML. `style`: its style sheet."""
    sheet = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{sheet}'; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html_text(title)}</title>",
            f"<style>{style}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> Iterator[str]:
    """Yields the lines of a table. `head` and `rows`: cells as HTML. `numbers`: the indexes of columns with numbers."""

    def cell(tag: str, at: int, content: str) -> str:
        return f"<{tag}{_NUMBER if at in numbers else ''}>{content}</{tag}>"

    yield f"<table><thead><tr>{''.join(cell('th', at, name) for at, name in enumerate(head))}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(cell('td', at, content) for at, content in enumerate(row))}</tr>"
    yield "</tbody></table>"


def html_text(text: str) -> str:
    """Returns a plain text as HTML, with invisible characters written as escapes."""
    plain = "".join(
        char if char.isprintable() else _BREAKS.get(char) or char.encode("unicode_escape").decode() for char in text
    )
    return escape(plain)
