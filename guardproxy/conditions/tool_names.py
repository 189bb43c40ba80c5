"""Lists of tools: the only ones that may be called, and those that may not, in general and for each server.

A client or a model writes the name of a tool. `deny` compares its readings: in another case, in letters of another width, with
other separators (`mail.send`, `mailSend`), only its last part (`mail__send`), and without its version (`send:v2`). `allow` is
stricter: only a plain name can be on it. A name that cannot be read, such as one with letters of another alphabet, is denied by
each list of `deny`, and is on no list of `allow` but `*`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from guardproxy.conditions.canonical_names import fold, tool_readings
from guardproxy.conditions.globs import fits, in_lower_case

# What stands between the words of a name: signs, white space, or only the beginning of a word in upper case.
_BETWEEN = r"[-_.:/\s]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
_WORDS = re.compile(_BETWEEN, re.ASCII)
_GLOB = re.compile(rf"(?P<set>\[!?\]?[^\]]*\])|{_BETWEEN}", re.ASCII)
_PART = re.compile(r"[.:/\s]|__|--", re.ASCII)
_WILD = frozenset("*?[")


def is_named(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a glob fits a name, in any of its readings. A name that cannot be read fits each glob; no name at all, only a
    glob for any name."""
    if "*" in globs:
        return True
    readings = tool_readings(name) if name else ()
    if readings is None or fits(globs, (name, *readings)):
        return True
    words = _name_in_words(name)
    return fits(_globs_in_words(globs), words) or any(word.replace("_", "") in _run_together(globs) for word in words)


def is_listed(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a whole name, as it is or in another case, fits a glob. A name that readers may understand differently fits none
    but `*`."""
    if "*" in globs:
        return True
    is_plain = tool_readings(name) is not None and fold(name) == name.lower()
    return is_plain and fits(globs, (name, name.lower()))


@lru_cache(maxsize=4096)
def _name_in_words(name: str) -> tuple[str, ...]:
    """Returns a name that can be read in words with one separator: whole, after each separator of parts, and before the first
    colon of each of these."""
    parts = [name, *(name[match.end() :] for match in _PART.finditer(name))]
    parts += [part.partition(":")[0] for part in parts]
    words = (fold(_WORDS.sub("_", part)).strip("_") for part in parts)
    return tuple(dict.fromkeys(word for word in words if word))


@lru_cache(maxsize=4096)
def _globs_in_words(globs: tuple[str, ...]) -> tuple[str, ...]:
    """Returns globs for names in words. Sets of characters stay as they are."""
    return tuple(_GLOB.sub(lambda match: match["set"] or "_", glob) for glob in globs)


@lru_cache(maxsize=4096)
def _run_together(globs: tuple[str, ...]) -> frozenset[str]:
    """Returns the globs that are one name, without separators."""
    words = (word.replace("_", "") for word in in_lower_case(_globs_in_words(globs)) if not _WILD & set(word))
    return frozenset(word for word in words if word)


@dataclass(frozen=True, slots=True)
class ToolNames:
    """A list of tools. `allow`: globs of the only tools; `None`: all. `deny`: globs of tools that are not allowed. `servers`:
    further lists for the servers that fit a glob."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    servers: tuple[tuple[str, ToolNames], ...] = ()

    def denies(self, name: str, server: str = "") -> bool:
        """Whether a name, beside that of the tool, is denied."""
        return (bool(self.deny) and is_named(name, self.deny)) or any(
            its.denies(name) for glob, its in self.servers if server and is_named(server, (glob,))
        )

    def refuses(self, name: str, server: str = "") -> bool:
        """Whether a tool is not allowed. A tool without a name is never allowed by a list that names some."""
        if self.deny and (not name or is_named(name, self.deny)):
            return True
        if self.allow is not None and not is_listed(name, self.allow):
            return True
        return any(its.refuses(name) for glob, its in self.servers if server and is_named(server, (glob,)))
