"""Variables and lists of a policy file: `vars: {limit: 0.8}`, `lists: {projects: lists/projects.txt}`, and `${limit}`.

In: the nodes of a file, and the lists' bytes. Out: a `Scope`, and nodes in which every `${name}` has its value. Kept: nothing.

`${name}` alone is the value as it is, a number as a number; within a longer text it is its text; a list that stands in a list
is spliced into it. `$${` is a plain `${`. Variables count in `match`, `checks`, `rules`, `on_error`, `unmapped`,
`opaque`, `token_ids` and `audit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from guardproxy.errors import PolicyError
from guardproxy.policy.keys import VARIABLE
from guardproxy.policy.reading import Reading, did_you_mean, join
from guardproxy.policy.tree import Node, Place, unseen

Scope = dict[str, Node]

PLACES = ("match", "checks", "rules", "on_error", "unmapped", "opaque", "token_ids", "enforce", "audit")
LIMIT_ENTRIES = 10_000
LIMIT_ENTRY_CHARS = 1000

_VARIABLE = re.compile(r"\$\$\{|\$\{(" + VARIABLE + r")\}")
_NAME = re.compile(VARIABLE)


class Beside(Protocol):
    """The files beside the policies."""

    def read(self, path: str) -> bytes:
        """Raises `OSError`."""
        ...

    def shown(self, path: str) -> str:
        """The path as messages show it."""
        ...


def read_scope(reading: Reading, keys: Mapping[str, Node], beside: Beside | None) -> Scope:
    """The variables and lists that `keys` declare."""
    scope: Scope = {}
    for name, node in _entries(reading, keys.get("vars"), "a mapping from names to values, like `{limit: 0.8}`"):
        if _is_value(reading, node):
            scope[name] = node.located(reading.path)
    for name, node in _entries(
        reading, keys.get("lists"), "a mapping from names to files, like `{words: lists/words.txt}`"
    ):
        if name in scope:
            reading.fail(node.key, f"`{name}` is a variable too, on line {scope[name].key.line}; give one another name")
        path = reading.word(node, "the path of a file below the policies' folder")
        if path is not None:
            scope[name] = _list(reading, node, path, beside).located(reading.path)
    return scope


def _entries(reading: Reading, node: Node | None, wanted: str) -> Iterator[tuple[str, Node]]:
    for name, value in ((reading.mapping(node, wanted) if node else None) or {}).items():
        if not _NAME.fullmatch(name):
            reading.fail(value.key, "the name of a variable begins with a-z and goes on with a-z, 0-9, `_` and `-`")
        yield name, value


def _is_value(reading: Reading, node: Node) -> bool:
    """Whether a variable can have this value: a word, a number, true or false, or a list of words and numbers."""
    items = node.value if isinstance(node.value, tuple) else (node,)
    for item in items:
        if item.value is None or isinstance(item.value, (tuple, Mapping)):
            reading.unexpected(item, "a word, a number, true or false, or a list of words and numbers")
            return False
    return True


def _list(reading: Reading, node: Node, path: str, beside: Beside | None) -> Node:
    """The entries of a file, one a line; what follows `#` at the beginning of a line is a comment."""
    nothing = replace(node, value=())
    if beside is None:
        reading.fail(node.place, "files cannot be read here")
        return nothing
    try:
        text = beside.read(path).decode()
    except OSError as error:
        reading.fail(node.place, f"cannot read the list `{path}`: {str(error.strerror).lower()}")
        return nothing
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"), beside.shown(path))
        reading.fail(place, "not UTF-8; save the file as UTF-8")
        return nothing
    items: dict[str, Node] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        entry = line.strip()
        place = Place(number, len(line) - len(line.lstrip()) + 1, beside.shown(path))
        if not entry or entry.startswith("#"):
            continue
        if wrong := _entry_wrong(entry, items):
            reading.fail(place, wrong)
        items.setdefault(entry, Node(entry, place, place))
        if len(items) > LIMIT_ENTRIES:
            reading.fail(place, f"a list has at most {LIMIT_ENTRIES} entries")
            break
    if not items:
        reading.fail(node.place, f"the list `{path}` has no entry; write one a line")
    return replace(node, value=tuple(items.values()))


def _entry_wrong(entry: str, before: Mapping[str, Node]) -> str:
    if entry in before:
        return f"duplicate entry, first on line {before[entry].place.line}"
    if len(entry) > LIMIT_ENTRY_CHARS:
        return f"an entry has at most {LIMIT_ENTRY_CHARS} characters"
    return "a character that cannot be seen; take it out" if unseen(entry) else ""


def substituted(
    reading: Reading, keys: Mapping[str, Node], scope: Scope, own: Scope, used: set[str]
) -> dict[str, Node]:
    """`keys` with values in place of variables. `own`: those of the same file; a mistake in the value of another one stands
    where that has its value. `used`: gets the names of those that were used."""
    seen = _Seen(reading, scope, own, used)
    return {key: seen.node(node) if key in PLACES else node for key, node in keys.items()}


@dataclass(frozen=True, slots=True)
class _Seen:
    reading: Reading
    scope: Scope
    own: Scope
    used: set[str]

    def node(self, node: Node) -> Node:
        if isinstance(node.value, Mapping):
            return replace(node, value={key: self.node(one) for key, one in node.value.items()})
        if isinstance(node.value, tuple):
            items: list[Node] = []
            for item in node.value:
                made = self.node(item)
                # a list in place of a variable, not one that was written here
                items += made.value if isinstance(made.value, tuple) and isinstance(item.value, str) else (made,)
            return replace(node, value=tuple(items))
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        try:
            return self.text(node, node.value)
        except PolicyError as error:
            lead = 0 if node.lead is None else node.lead + error.column
            self.reading.fail(replace(node.place, column=node.place.column + lead), error.message)
            return node

    def text(self, node: Node, text: str) -> Node:
        whole = _VARIABLE.fullmatch(text)
        if whole and whole[1]:
            found = self.found(whole)
            here = self.own.get(whole[1]) is found
            return Node(found.value, node.place if here else found.place, node.key if here else found.key)

        def value(match: re.Match[str]) -> str:
            if not match[1]:
                return "${"
            inner = self.found(match).value
            if isinstance(inner, tuple):
                raise PolicyError(f"`{match[1]}` is a list, which cannot stand within a text", column=match.start())
            return str(inner).lower() if isinstance(inner, bool) else str(inner)

        return Node(_VARIABLE.sub(value, text), node.place, node.key)

    def found(self, match: re.Match[str]) -> Node:
        name = match[1]
        if name not in self.scope:
            near = did_you_mean(name, list(self.scope))
            known = (
                f"variables here: {join(sorted(self.scope))}"
                if self.scope
                else "this file has no `vars` and no `lists`"
            )
            raise PolicyError(f"unknown variable `{name}`{near or f'; {known}'}", column=match.start())
        self.used.add(name)
        return self.scope[name]
