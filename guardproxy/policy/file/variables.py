"""Variables and lists of a policy file: `vars: {limit: 0.8}`, `lists: {projects: lists/projects.txt}`, and `${limit}`.

In: the nodes of a file, and the bytes of the lists. Out: a `Scope`, and nodes in which every `${name}` is replaced.

A text that is only `${name}` becomes the value itself: a number stays a number. Within a longer text `${name}` becomes
the text of the value. A list inside a list is spliced into it. `$${` gives a plain `${`. Variables are replaced in
`match`, `checks`, `rules`, `on_error`, `unmapped`, `opaque`, `token_ids`, `allow_fields`, `refuse`, `set`, `strip`,
`enforce`, `audit` and the sections of gateway tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from guardproxy.errors import PolicyError
from guardproxy.policy.file.keys import VARIABLE
from guardproxy.policy.sections import SECTIONS
from guardproxy.policy.values.fields import FIELD_KEYS
from guardproxy.policy.yaml.reading import FileReading, did_you_mean, join
from guardproxy.policy.yaml.tree import FilePlace, YamlNode, find_invisible

Scope = dict[str, YamlNode]

PLACES = (
    *("match", "checks", "rules", "on_error", "unmapped", "opaque", "token_ids", *FIELD_KEYS, "enforce", "audit"),
    *SECTIONS,
)
LIMIT_ENTRIES = 10_000
LIMIT_ENTRY_CHARS = 1000

_VARIABLE = re.compile(r"\$\$\{|\$\{(" + VARIABLE + r")\}")
_NAME = re.compile(VARIABLE)


class SiblingFiles(Protocol):
    """Reads the files that policies name, such as lists."""

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file, by its path below the folder. Raises `OSError`."""
        ...

    def display_path(self, path: str) -> str:
        """Returns the path as messages show it."""
        ...


def read_scope(reading: FileReading, keys: Mapping[str, YamlNode], beside: SiblingFiles | None) -> Scope:
    """Returns the variables and lists that `keys` declare."""
    scope: Scope = {}
    for name, node in _entries(reading, keys.get("vars"), "a mapping from names to values, like `{limit: 0.8}`"):
        if _is_value(reading, node):
            scope[name] = node.with_path(reading.path)
    for name, node in _entries(
        reading, keys.get("lists"), "a mapping from names to files, like `{words: lists/words.txt}`"
    ):
        if name in scope:
            reading.fail(node.key, f"`{name}` is also a variable, on line {scope[name].key.line}; rename one of them")
        path = reading.word(node, "the path of a file below the policies' folder")
        if path is not None:
            scope[name] = _list(reading, node, path, beside).with_path(reading.path)
    return scope


def _entries(reading: FileReading, node: YamlNode | None, wanted: str) -> Iterator[tuple[str, YamlNode]]:
    for name, value in ((reading.mapping(node, wanted) if node else None) or {}).items():
        if not _NAME.fullmatch(name):
            reading.fail(value.key, "the name of a variable begins with a-z and continues with a-z, 0-9, `_` and `-`")
        yield name, value


def _is_value(reading: FileReading, node: YamlNode) -> bool:
    """Whether a variable can have this value: a word, a number, true or false, or a list of words and numbers."""
    items = node.value if isinstance(node.value, tuple) else (node,)
    for item in items:
        if item.value is None or isinstance(item.value, (tuple, Mapping)):
            reading.unexpected(item, "a word, a number, true or false, or a list of words and numbers")
            return False
    return True


def _list(reading: FileReading, node: YamlNode, path: str, beside: SiblingFiles | None) -> YamlNode:
    """Reads a list file with an entry on each line. A line that begins with `#` is a comment."""
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
        place = FilePlace(before.count("\n") + 1, len(before) - before.rfind("\n"), beside.display_path(path))
        reading.fail(place, "not UTF-8; save the file as UTF-8")
        return nothing
    items: dict[str, YamlNode] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        entry = line.strip()
        place = FilePlace(number, len(line) - len(line.lstrip()) + 1, beside.display_path(path))
        if not entry or entry.startswith("#"):
            continue
        if wrong := _entry_wrong(entry, items):
            reading.fail(place, wrong)
        items.setdefault(entry, YamlNode(entry, place, place))
        if len(items) > LIMIT_ENTRIES:
            reading.fail(place, f"a list has at most {LIMIT_ENTRIES} entries")
            break
    if not items:
        reading.fail(node.place, f"the list `{path}` has no entry; write one entry a line")
    return replace(node, value=tuple(items.values()))


def _entry_wrong(entry: str, before: Mapping[str, YamlNode]) -> str:
    if entry in before:
        return f"duplicate entry, first on line {before[entry].place.line}"
    if len(entry) > LIMIT_ENTRY_CHARS:
        return f"an entry has at most {LIMIT_ENTRY_CHARS} characters"
    return "a character that cannot be seen; remove it" if find_invisible(entry) else ""


def substitute(
    reading: FileReading, keys: Mapping[str, YamlNode], scope: Scope, own: Scope, used: set[str]
) -> dict[str, YamlNode]:
    """Returns `keys` with variables replaced by their values. `own`: the variables of the same file; an error in the
    value of a variable of another file is reported at its place in that file. `used`: receives the names of the used
    variables."""
    substitution = _Substitution(reading, scope, own, used)
    return {key: substitution.node(node) if key in PLACES else node for key, node in keys.items()}


@dataclass(frozen=True, slots=True)
class _Substitution:
    reading: FileReading
    scope: Scope
    own: Scope
    used: set[str]

    def node(self, node: YamlNode) -> YamlNode:
        if isinstance(node.value, Mapping):
            return replace(node, value={key: self.node(value) for key, value in node.value.items()})
        if isinstance(node.value, tuple):
            items: list[YamlNode] = []
            for item in node.value:
                replacement = self.node(item)
                # a list is spliced if it replaces a variable, not if the file has a list here
                if isinstance(replacement.value, tuple) and isinstance(item.value, str):
                    items += replacement.value
                else:
                    items.append(replacement)
            return replace(node, value=tuple(items))
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        try:
            return self.text(node, node.value)
        except PolicyError as error:
            lead = 0 if node.lead is None else node.lead + error.column
            self.reading.fail(replace(node.place, column=node.place.column + lead), error.message)
            return node

    def text(self, node: YamlNode, text: str) -> YamlNode:
        whole = _VARIABLE.fullmatch(text)
        if whole and whole[1]:
            value_node = self.value_of(whole)
            if self.own.get(whole[1]) is value_node:
                return YamlNode(value_node.value, node.place, node.key)
            return YamlNode(value_node.value, value_node.place, value_node.key)

        def value(match: re.Match[str]) -> str:
            if not match[1]:
                return "${"
            inner = self.value_of(match).value
            if isinstance(inner, tuple):
                raise PolicyError(f"`{match[1]}` is a list, which cannot be part of a text", column=match.start())
            return str(inner).lower() if isinstance(inner, bool) else str(inner)

        return YamlNode(_VARIABLE.sub(value, text), node.place, node.key)

    def value_of(self, match: re.Match[str]) -> YamlNode:
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
