"""Edits the text of a policy file at one place and leaves everything else as it is, comments too.

In: the text, and what is to be changed. Out: the new text. An edit is made at the places of the parsed file, and then the new
text is parsed again: if it says anything else than the old text with this change, `EditError` says so, and there is no edit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from functools import lru_cache
from typing import Any

import yaml

from guardproxy.errors import ConfigError

# YAML reads these only as escapes, or a reader does not see them.
_ESCAPED = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]|[^\x00-\uffff]"
)
_COMMA = re.compile(r"\s*,[ ]*")


class EditError(ConfigError):
    """An edit that cannot be made by this program; the message says what to do by hand."""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """The text of a policy file. Each method returns the text with one change, and raises `EditError`."""

    text: str

    def with_test(self, test: str) -> PolicyText:
        """See `with_test`."""
        return PolicyText(with_test(self.text, test))

    def with_allowed(self, check: str, value: str, option: str = "allow") -> PolicyText:
        """See `with_allowed`."""
        return PolicyText(with_allowed(self.text, check, value, option))

    def enforced(self, rule: str = "") -> PolicyText:
        """See `enforced`."""
        return PolicyText(enforced(self.text, rule))

    def difference(self, new: PolicyText, name: str) -> str:
        """Returns what a change does to the file `name`, as a unified diff."""
        return difference(self.text, new.text, name)

    @staticmethod
    def quoted(text: str) -> str:
        """Returns a text as YAML reads it between double quotes."""
        return quoted(text)


def quoted(text: str) -> str:
    """Returns a text between double quotes, as YAML reads it, with an escape for each character that a reader would not see."""
    return written(text)


def written(value: Any) -> str:
    """Returns a value of JSON as YAML reads it on one line, its texts as `quoted` writes them."""
    plain = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(
        lambda match: f"\\U{ord(match[0]):08x}" if ord(match[0]) > 0xFFFF else f"\\u{ord(match[0]):04x}", plain
    )


def difference(old: str, new: str, name: str) -> str:
    """Returns what an edit changes in the file `name`, as a unified diff."""
    lines = unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def with_test(text: str, test: str) -> str:
    """Returns a policy with one more test. `test`: its lines, of which the first begins with `- `. Raises `EditError`."""
    root = _root(text)
    lines = test.rstrip("\n").split("\n")
    (added,) = _plain(_parsed("\n".join(lines)))
    tests = _get(root, "tests")
    if tests is None or not isinstance(tests, yaml.SequenceNode) or not tests.value:
        if tests is not None:
            raise EditError("`tests:` of the file is empty: write the test below it by hand")
        new = f"{text.rstrip()}\n\ntests:\n" + "".join(f"  {line}\n" for line in lines)
        return _checked(text, new, lambda tree: {**tree, "tests": [added]})
    if tests.flow_style:
        raise EditError("`tests:` of the file is written in brackets: write the test into it by hand")
    indent = " " * _dash(text, tests.value[0])
    at = _line_end(text, _content_end(tests.value[-1]))
    block = "".join(f"{indent}{line}\n" for line in lines)
    new = _inserted(text, at, block)
    return _checked(text, new, lambda tree: {**tree, "tests": [*tree["tests"], added]})


def with_allowed(text: str, check: str, value: str, option: str = "allow") -> str:
    """Returns a policy whose check `check` has one more value in a list of its options. Raises `EditError`."""
    spec = _get(_get(_root(text), "checks"), check)
    if not isinstance(spec, yaml.MappingNode):
        raise EditError(f"the file has no check `{check}` of its own: change it where it is")
    item = quoted(value)
    values = _get(spec, option)
    if values is None:
        new = _with_entry(text, spec, f"{option}: [{item}]")
    elif not isinstance(values, yaml.SequenceNode):
        raise EditError(f"`{option}` of the check `{check}` is no list: change it by hand")
    elif values.flow_style:
        new = _with_item(text, values, item)
    else:
        indent = " " * _dash(text, values.value[0])
        new = _inserted(text, _line_end(text, _content_end(values.value[-1])), f"{indent}- {item}\n")

    def changed(tree: dict[str, Any]) -> dict[str, Any]:
        options = tree["checks"][check]
        return {**tree, "checks": {**tree["checks"], check: {**options, option: [*options.get(option, []), value]}}}

    return _checked(text, new, changed)


def enforced(text: str, rule: str = "") -> str:
    """Returns a policy in which a rule is enforced: without its `mode: shadow`, or its `enforce`. Without the name of a rule,
    the policy as a whole. Raises `EditError`."""
    root = _root(text)
    where = (
        root
        if not rule
        else next((item for item in _items(_get(root, "rules")) if _word(_get(item, "id")) == rule), None)
    )
    if where is None:
        raise EditError(f"the file has no rule `{rule}` of its own: change it where it is")
    keys = [key for key in ("mode", "enforce") if _get(where, key) is not None]
    if not keys or (keys == ["mode"] and _word(_get(where, "mode")) != "shadow"):
        raise EditError(f"`mode: shadow` is not a key of {f'the rule `{rule}`' if rule else 'the policy'} in this file")
    new = _without(text, where, keys[0])

    def changed(tree: dict[str, Any]) -> dict[str, Any]:
        def less(mapping: Mapping[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in mapping.items() if key != keys[0]}

        if not rule:
            return less(tree)
        return {**tree, "rules": [less(item) if item.get("id") == rule else item for item in tree["rules"]]}

    return _checked(text, new, changed)


def _root(text: str) -> yaml.MappingNode:
    node = _parsed(text)
    if not isinstance(node, yaml.MappingNode):
        raise EditError("the file is no mapping")
    return node


@lru_cache(4)  # an edit reads the old text twice, and the next edit begins with the new one
def _parsed(text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        node = None
    if node is None:
        raise EditError("the file is not valid YAML")
    return node


def _checked(old: str, new: str, change: Any) -> str:
    """Returns `new` if it says what `change` makes of what `old` says."""
    if _plain(_parsed(new)) != change(_plain(_parsed(old))):
        raise EditError("the file is written in a form that this program does not edit: change it by hand")
    return new


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return node.value


def _get(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _items(node: yaml.Node | None) -> Sequence[yaml.Node]:
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _word(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _content_end(node: yaml.Node) -> int:
    """Returns the offset behind the last character of a node. The parser puts the end of a block behind the comments that
    follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _content_end(last[1] if isinstance(last, tuple) else last)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        source = node.start_mark.buffer or ""
        written = source[node.start_mark.index : node.end_mark.index].rstrip("\0")
        return int(node.start_mark.index) + len(written.rstrip())
    return int(node.end_mark.index)


def _line_end(text: str, at: int) -> int:
    """Returns the offset of the next line; the end of the text if there is none."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _inserted(text: str, at: int, lines: str) -> str:
    before = text[:at] if not at or text[at - 1] == "\n" else f"{text[:at]}\n"
    return before + lines + text[at:]


def _dash(text: str, item: yaml.Node) -> int:
    """Returns the column of the dash before an item of a block list."""
    start = int(item.start_mark.index)
    return text.rfind("-", 0, start) - _line_start(text, text.rfind("-", 0, start))


def _with_entry(text: str, mapping: yaml.MappingNode, entry: str) -> str:
    if mapping.flow_style:
        return _with_item(text, mapping, entry)
    indent = " " * mapping.value[0][0].start_mark.column
    return _inserted(text, _line_end(text, _content_end(mapping)), f"{indent}{entry}\n")


def _with_item(text: str, collection: yaml.CollectionNode, item: str) -> str:
    """Adds an item to a collection in brackets, behind its last one."""
    if not collection.value:
        at = int(collection.start_mark.index) + 1
        return text[:at] + item + text[at:]
    last = collection.value[-1]
    at = _content_end(last[1] if isinstance(last, tuple) else last)
    return f"{text[:at]}, {item}{text[at:]}"


def _without(text: str, mapping: yaml.Node, key: str) -> str:
    assert isinstance(mapping, yaml.MappingNode)  # noqa: S101 - it has the key
    pairs = mapping.value
    at = next(number for number, (name, _) in enumerate(pairs) if name.value == key)
    start, end = int(pairs[at][0].start_mark.index), _content_end(pairs[at][1])
    if mapping.flow_style:
        comma = _COMMA.match(text, end)
        if comma and at + 1 < len(pairs):
            return text[:start] + text[comma.end() :]
        before = _content_end(pairs[at - 1][1]) if at else start
        return text[:before] + text[end:]
    head, tail = _line_start(text, start), _line_end(text, end)
    if not text[head:start].strip():
        return text[:head] + text[tail:]
    # Behind the dash of an item, which has an `id` too.
    return text[:start] + text[int(pairs[at + 1][0].start_mark.index) :]
