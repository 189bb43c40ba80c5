"""Templates of all pages, with what each of them may use.

In: the name of a template and values. Out: HTML. Everything is escaped; a name that has no value is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import BaseLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined, Template
from jinja2.runtime import Context

from guardproxy.console.look import plots
from guardproxy.console.look.assets import ASSETS, FOLDER
from guardproxy.console.look.shown import is_addressable, plain, shown
from guardproxy.wire import FEEDBACK_ROUTE

LAST_S = 253_402_300_799.0  # the last second of the year 9999, the last that `datetime` has


class Templates:
    """The templates of pages. `folders`: of each page, by its name."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        loaders: dict[str, BaseLoader] = {"look": FileSystemLoader(FOLDER)}
        loaders |= {name: FileSystemLoader(folder) for name, folder in folders.items()}
        self._environment = Environment(
            loader=PrefixLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self._environment.filters |= {"shown": shown, "plain": plain, "when": when, "count": count, "money": money}
        self._environment.tests["addressable"] = is_addressable
        self._environment.globals |= {
            "line_points": plots.line_points,
            "share": plots.share,
            "asset": ASSETS.url,
            "integrity": lambda name: ASSETS[name].integrity,
            "FEEDBACK_ROUTE": FEEDBACK_ROUTE,
        }

    def text(self, name: str, context: Mapping[str, object], *, is_part: bool) -> str:
        """Returns the HTML of a template as a whole page: a template that is only a part of one gets a frame. With `is_part`,
        returns that of its block `main`, or all of it without such a block."""
        template = self._environment.get_template(name)
        values = {**context, "ui": self._macros(context)}
        block = self._main(template)
        if not is_part:
            framed = template if block is not None else self._environment.get_template("look/part.html")
            return framed.render({**values, "part": name})
        if block is None:
            return template.render(values)
        return "".join(block(template.new_context(values)))

    def _macros(self, context: Mapping[str, object]) -> object:
        return self._environment.get_template("look/ui.html").make_module(dict(context))

    @staticmethod
    def _main(template: Template) -> Callable[[Context], Iterator[str]] | None:
        return template.blocks.get("main")


def when(unix_s: float) -> str:
    """Returns a time, such as 2030-01-31 12:00:00 (UTC)."""
    # A line of the log that was changed may have any number here, and it is a page of the console that shows the change.
    unix_s = min(max(unix_s, 0.0), LAST_S)
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S}"


def count(number: float) -> str:
    """Returns a number with grouped digits."""
    return f"{number:,.0f}"


def money(number: float) -> str:
    """Returns an amount with as many digits as it needs."""
    return f"{number:,.2f}" if number >= 1 or number == 0 else f"{number:.4f}"
