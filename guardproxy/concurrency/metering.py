"""Bounds the work of libraries that have no stop points of their own, and declares every such library.

In: a block of code that calls a library. Out: an error if the library makes too many calls.

`metered(most_calls)` counts every call that the block makes, in Python and C, in this thread alone. Every `_STOP_CALLS`
calls it visits the stop point of the scan. So a library that is written in Python can be stopped and has a bound that
depends on its input alone. Only a single call into C cannot be stopped: the bound for that is in `LIBRARIES`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal, NamedTuple

from guardproxy.concurrency.stopping import stop_point

_STOP_CALLS = 2000
"""Calls between two stop points: a few hundred microseconds."""

Profile = Callable[[FrameType, Any, Any], object]
Bound = Literal["linear", "steps", "metered", "short", "operator", "pieces"]
"""How the work of a library in a scan is bounded.

`linear`: one call costs in proportion to its text, at most 50 ms for a megabyte, and each text is cut or bounded before.
`steps`: each call takes its cost from a budget of steps (`guardproxy.schemas.drafts.spend`) before it runs. `metered`: its
calls are counted (`metered`). `short`: it only gets texts below a fixed length. `operator`: what it evaluates is written by
the operator and is bounded where it is loaded. `pieces`: it gets the text in pieces, with stop points between them.
"""


class LibraryCall(NamedTuple):
    """A library that scans and steps call. `why`: what holds the bound, and where."""

    bound: Bound
    why: str


LIBRARIES: Mapping[str, LibraryCall] = {
    "re2": LibraryCall(
        "linear", "patterns of the operator; those of a client's schema take steps (`schemas.drafts.matches`)"
    ),
    "numpy": LibraryCall(
        "linear", "`checks._shared.taint`: sorts and searches arrays of at most `grams.MOST_CHARS` numbers"
    ),
    "regex": LibraryCall(
        "pieces", "own patterns without nested repetitions, on blocks; `tests/kit/check_cost.py` tries them"
    ),
    "jsonschema": LibraryCall("steps", "each evaluation of a keyword takes steps and visits the stop point"),
    "jsonschema_specifications": LibraryCall("short", "documents of the library itself"),
    "referencing": LibraryCall("steps", "a schema has at most `LIMIT_CHARS` characters; `$ref` has a weight in steps"),
    "json_repair": LibraryCall(
        "metered", "`checks.json_schema`: at most `REPAIR_CHARS`, and calls in proportion to the text"
    ),
    "phonenumbers": LibraryCall(
        "short", "candidates of a bounded pattern, one at a time, with stop points between them"
    ),
    "cel_expr_python": LibraryCall(
        "operator", "conditions on the head and the named members of a request, bounded at load"
    ),
    "jinja2": LibraryCall("operator", "templates of the operator, in a sandbox, with bounded output"),
    "msgspec": LibraryCall("linear", "readers and writers in C; bodies have a limit in bytes"),
    "orjson": LibraryCall("linear", "a reader and writer in C; bodies have a limit in bytes"),
    "spacy": LibraryCall("short", "the chunks in `checks._shared.pii.words.LOOK` characters around a match"),
    "py3langid": LibraryCall(
        "short", "the `checks._shared.pii.words.LOOK` characters before a match; a passage of `checks.language`"
    ),
    "tokenizers": LibraryCall("short", "a piece of `checks.tokens.PIECE` characters"),
    "tldextract": LibraryCall("short", "the host of one address"),
    "presidio_analyzer": LibraryCall(
        "operator", "recognizers that the operator chose, or wrote with an `analyze` of its own"
    ),
    "fnmatch": LibraryCall("operator", "globs of the operator; a star costs the length of the name"),
    "unicodedata": LibraryCall(
        "short", "`normalize` is squared in a run of combining marks; it gets at most 64 at a time"
    ),
    "zlib": LibraryCall("short", "a run unpacks to at most `UNPACKED_LIMIT` bytes"),
    "html": LibraryCall("short", "one entity at a time"),
    "binascii": LibraryCall("linear", "digits to bytes"),
    "base64": LibraryCall("linear", "digits to bytes"),
    "difflib": LibraryCall("operator", "suggestions for misspelled words of a policy"),
}
"""Every library whose calls cannot be stopped from outside and which the pure packages use for texts. A test compares it
with what they import."""


class WorkLimitError(Exception):
    """A library made more calls than it may."""


class _Exceeded(BaseException):
    """Passes through handlers of errors in the library."""


@contextmanager
def metered(most_calls: int) -> Iterator[None]:
    """Opens a context in which this thread may make about `most_calls` calls. Raises `WorkLimitError`, and `ScanStopped` when
    the scan was cancelled. A call costs about half a microsecond more in it."""
    before: Profile | None = sys.getprofile()
    sys.setprofile(counter(most_calls, before))
    try:
        yield
    except _Exceeded:
        raise WorkLimitError(f"more than {most_calls} calls") from None
    finally:
        sys.setprofile(before)


def counter(most_calls: int, before: Profile | None = None) -> Profile:
    """Returns the function that is called for each event of the interpreter. `before`: one that is called as well."""
    left, slices = 2 * _STOP_CALLS, most_calls // _STOP_CALLS

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1  # at the begin of each call, and at its end
        if left <= 0:
            turn()

    def turn() -> None:
        nonlocal left, slices
        if slices <= 0:
            raise _Exceeded
        left, slices = 2 * _STOP_CALLS, slices - 1
        stop_point()

    def both(frame: FrameType, event: str, argument: Any) -> None:
        other(frame, event, argument)
        count(frame, event, argument)

    other = before or count
    return both if before else count
