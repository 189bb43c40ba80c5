"""Headers of a request that repeat values of its body, so that servers can route it without reading the body.

No check reads a header. A value that the body has too is read there. So each such header must equal a place of the body, and
what is sent is made anew of the body that goes upstream: an edit of the body is an edit of the header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.events import Path


@dataclass(frozen=True, slots=True)
class RepeatedHeaders:
    """The headers of a format that repeat values of the body. `names`: matches their names, in lower case.

    `places(tree, sent)`: returns the places of the body that the headers repeat, by their lower-case names; if several places
    have the value of a header, all of them. Raises `DownstreamError` if a header does not match. `sent`: names and values.
    `values(tree, places)`: returns the headers for a body that may be edited.
    """

    names: re.Pattern[str]
    places: Callable[[Any, Sequence[tuple[str, str]]], Mapping[str, Sequence[Path]]]
    values: Callable[[Any, Mapping[str, Sequence[Path]]], Mapping[str, str]]
