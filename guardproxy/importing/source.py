"""Reads a YAML file so that every value has a path and a line.

In: the text of a file, read as PyYAML reads it (YAML 1.1), because LiteLLM does. Out: an `ImportSource`. Files that are large,
nested deeply or made large by aliases are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from guardproxy.errors import ConfigError

LIMIT_BYTES = 1024 * 1024
LIMIT_VALUES = 50_000
LIMIT_DEPTH = 50

Path = tuple[str | int, ...]


@dataclass(slots=True)
class ImportSource:
    """The content of a file. `tree`: mappings have strings as keys. `lines`: the line of each value, by its path."""

    tree: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def get(self, *path: str | int) -> Any:
        """Returns the value at a path; `None` if there is none."""
        value = self.tree
        for step in path:
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(step, int):
                value = value[step] if step < len(value) else None
            else:
                return None
        return value

    def keys(self, *path: str | int) -> tuple[str, ...]:
        """Returns the keys of the mapping at a path; none if there is no mapping."""
        value = self.get(*path)
        return tuple(value) if isinstance(value, Mapping) else ()

    def count(self, *path: str | int) -> int:
        """Returns the number of items of the list at a path; 0 if there is no list."""
        value = self.get(*path)
        return len(value) if isinstance(value, list) else 0

    def leaves(self) -> Iterator[Path]:
        """Yields the path of every value that is no mapping or list, and of every empty mapping or list."""
        for path in self.lines:
            if path and not (isinstance(value := self.get(*path), dict | list) and value):
                yield path


def shown(path: Path) -> str:
    """Returns a path as people write it: `model_list[0].litellm_params.model`. Other characters than printable ones, which
    could control a terminal, are escaped."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def read_source(text: bytes, where: str) -> ImportSource:
    """Reads a file. `where`: its path, for messages. Raises `ConfigError`."""
    if len(text) > LIMIT_BYTES:
        raise ConfigError(f"{where}: larger than {LIMIT_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            source = ImportSource()
            source.tree = _value(loader, node, (), source, where)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise ConfigError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML ({type(error).__name__})") from None
    if not isinstance(source.tree, dict):
        raise ConfigError(f"{where}: expected a mapping with keys like `model_list`")
    return source


def _value(loader: yaml.SafeLoader, node: Any, path: Path, source: ImportSource, where: str) -> Any:
    if node is None:
        return None
    source.lines[path] = node.start_mark.line + 1
    if len(source.lines) > LIMIT_VALUES or len(path) > LIMIT_DEPTH:
        raise ConfigError(f"{where}: more than {LIMIT_VALUES} values, or nested more than {LIMIT_DEPTH} deep")
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        tree: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            tree[name] = _value(loader, value, (*path, name), source, where)
            source.lines[(*path, name)] = key.start_mark.line + 1
        return tree
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, index), source, where) for index, item in enumerate(node.value)]
    return loader.construct_object(node)
