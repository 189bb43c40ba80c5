"""Prints everything that the command line prints: results with colours on a terminal, tables, JSON and errors.

In: lines, rows and values, with texts from anywhere. Out: text on standard output or standard error. What commands print goes
through `say`: no control character, no change of direction and no endless text reaches a terminal. A test holds that no other
file of the command line prints.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from guardproxy.printable import ascii_json, plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from guardproxy.policytest import Fragment

LIMIT_LINE_CHARS = 20_000
LIMIT_PART_CHARS = 2000
LIMIT_CELL_CHARS = 200


def say(*lines: str | Text, err: bool = False) -> None:
    """Prints lines, on standard error with `err`. A line feed in a line is escaped like every control character."""
    styled_console = None
    for line in lines:
        if isinstance(line, str):
            _write(plain(line, LIMIT_LINE_CHARS) + "\n", err)
        elif line.plain.isprintable() and len(line.plain) <= LIMIT_LINE_CHARS:
            # Made for the first line that needs it: importing rich takes longer than most commands.
            styled_console = styled_console or _console(err)
            styled_console.print(line)
        else:
            _write(plain(line.plain, LIMIT_LINE_CHARS) + "\n", err)


def say_json(value: Any, indent: int | None = None, shown: Callable[[Any], str] | None = None) -> None:
    """Prints a value as JSON: on a line, or indented. A number that JSON does not have, such as infinity, is null. `shown`:
    returns the text of a value of a type that JSON does not have."""
    try:
        # `NaN` and `Infinity` are no JSON, and other programs read this output.
        text = json.dumps(value, indent=indent, default=shown, allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(value, default=shown), parse_constant=lambda name: None)
        text = json.dumps(finite, indent=indent)
    say_encoded(text + "\n")


def say_encoded(text: str) -> None:
    """Prints whole lines of JSON. Nothing is cut; every character that is not printable ASCII is escaped, as JSON does it."""
    _write(ascii_json(text), False)


def complain(message: object) -> None:
    """Prints an error or a warning, in the name of the program. A message may have several lines, one for each error."""
    first, *others = str(message).split("\n")
    say(f"guardproxy: {first}", *others, err=True)


def fail(message: object, code: int = 2) -> NoReturn:
    """Prints an error and ends the command, as wrong use without a `code`."""
    complain(message)
    raise typer.Exit(code) from None


def is_terminal(*, err: bool = False) -> bool:
    """Whether standard output, or standard error with `err`, is a terminal."""
    return (sys.stderr if err else sys.stdout).isatty()


def can_show_blocks() -> bool:
    """Whether standard output can show more than ASCII."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def progress_console() -> Console:
    """Returns standard error, for a progress bar. Its texts must be fixed."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True)


class Commands(TyperGroup):
    """A group of commands. Its help shows the first sentence of each command in full, on as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, command.get_short_help_str(LIMIT_LINE_CHARS)) for name, command in commands if command is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class CommandLine(Commands):
    """The commands of the program. What Click says of wrong arguments is printed like everything else."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command and ends the program, as Click does it. Not `standalone_mode`: returns the exit code."""
        run = partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        if not standalone_mode:
            return run()
        try:
            code = run()
        except typer.Abort:
            say("Aborted!", err=True)
            code = 1
        except Exception as error:
            show = getattr(error, "show", None)  # wrong arguments; Typer keeps the name of the type to itself
            if show is None:
                raise
            message = StringIO()
            show(message)
            say(*message.getvalue().removesuffix("\n").split("\n"), err=True)
            code = getattr(error, "exit_code", 2)
        sys.exit(code if isinstance(code, int) else 0)


def show_trace(error: BaseException) -> None:
    """Prints an unexpected error with the places in the code, for a report to the developers."""
    for part in traceback.format_exception(error):
        say(*part.removesuffix("\n").split("\n"), err=True)


def _console(err: bool) -> Console:
    """Returns an output. Long lines are not wrapped, and no text is treated as markup."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=err, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _write(text: str, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:  # an output for ASCII, for example
        stream.write(text.encode("ascii", "backslashreplace").decode())
    stream.flush()


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the rows of a table as lines with aligned columns. Long cells are cut."""
    cells = [[in_cell(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def in_cell(text: str) -> str:
    """Returns a text as a cell of a table shows it."""
    shown = plain(text[: LIMIT_CELL_CHARS + 1])
    return shown if len(shown) <= LIMIT_CELL_CHARS else shown[: LIMIT_CELL_CHARS - 1] + "…"


def styled(*parts: tuple[str, str] | str | Text) -> Text:
    """Returns a line of parts, each with or without a style. Texts are made printable, and long texts are cut."""
    from rich.text import Text  # noqa: PLC0415

    return Text.assemble(*map(_printable, parts))


def _printable(part: tuple[str, str] | str | Text) -> tuple[str, str] | str | Text:
    if isinstance(part, str):
        return plain(part, LIMIT_PART_CHARS)
    return (plain(part[0], LIMIT_PART_CHARS), part[1]) if isinstance(part, tuple) else part


def contrast_lines(sign: str, parts: Iterable[Fragment], style: str) -> Iterable[Text]:
    """Yields a text with its differences marked: by colour, and by carets below it for output without colours."""
    plain_parts = [(plain(part.text, LIMIT_PART_CHARS), part.differs) for part in parts]
    yield styled((f"{sign} ", style), *((text, f"bold {style}" if differs else "") for text, differs in plain_parts))
    if any(differs for _, differs in plain_parts):
        marks = "".join(("^" if differs else " ") * len(text) for text, differs in plain_parts)
        yield styled(("  " + marks).rstrip())
