"""Lists of tools: the only ones that may be called, and those that may not, in general and for each server.

A client or a model writes the name of a tool. `deny` compares its readings: in another case, in letters of another width, and
only its last part (`mail__send`). `allow` is stricter: only a plain name can be on it. A name that cannot be read is denied by
each list of `deny`, and is on no list of `allow` but `*`."""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.conditions.canonical_names import fold, tool_readings
from guardproxy.conditions.globs import fits


def is_named(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a glob fits a name, in any of its readings. A name that cannot be read fits each glob; no name at all, only a
    glob for any name."""
    if "*" in globs:
        return True
    readings = tool_readings(name) if name else ()
    return readings is None or fits(globs, (name, *readings))


def is_listed(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a whole name, as it is or in another case, fits a glob. A name that readers may understand differently fits none
    but `*`."""
    if "*" in globs:
        return True
    is_plain = tool_readings(name) is not None and fold(name) == name.lower()
    return is_plain and fits(globs, (name, name.lower()))


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
