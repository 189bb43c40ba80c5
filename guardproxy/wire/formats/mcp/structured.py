"""Keeps `structuredContent` and the texts of a result alike: an edit of the one is an edit of the other.

The result of a tool holds its value twice: as `structuredContent`, and in the texts of `content`, often as JSON. The checks
read each for itself. What one of them shows with more words around it can be found there alone, so the edits are joined:

- A text that is the JSON of the value, or of a part of it (the member `result`, or an item of that list): both get the edits of
  both. Where both changed the same string, it is replaced as a whole.
- A text that is a string of the value: the same.
- Another text in which a string of the value stands: an edit of the string is an edit of each such place. If the text lost the
  string by an edit of its own, which tells no replacement, `structuredContent` is left out. No schema requires that member; a
  client that expects it, because the tool has an `outputSchema`, reports a failed call.

In: an object with both members, before and after its edits. Out: the object to send. The cost is linear, but for texts that
hold strings of the value within other words: there it is the number of changed strings times the length of the texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from guardproxy.wire.json import JsonFault, plain, reach, read

STRUCTURED, CONTENT = "structuredContent", "content"
WITHHELD = "[withheld]"
_MISSING = object()
_LEAST_CHARS = 4  # a shorter string stands in any text by chance
_LIMIT_STRINGS = 200
_SCALARS = (str, int, float)


def aligned(before: Any, after: Any) -> Any:
    """Returns an edited tree in which every `structuredContent` has the edits of the texts beside it, and they its edits.
    Changes `after`."""
    waiting = [(before, after)]
    for old, new in waiting:
        if isinstance(old, dict) and isinstance(new, dict):
            if old.get(STRUCTURED) is not None and isinstance(old.get(CONTENT), list) and old != new:
                _align(old, new)
            waiting += [
                (child, new[key]) for key, child in old.items() if key in new and isinstance(child, (dict, list))
            ]
        elif isinstance(old, list) and isinstance(new, list):
            waiting += [pair for pair in zip(old, new, strict=False) if isinstance(pair[0], (dict, list))]
    return after


def _align(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Joins the edits of one object."""
    value, edited = plain(old[STRUCTURED]), plain(new.get(STRUCTURED))
    blocks = [
        (was["text"], block)
        for was, block in zip(old[CONTENT], new.get(CONTENT) or (), strict=False)
        if _has_text(was) and _has_text(block)
    ]
    others = []
    twins: list[tuple[tuple[Any, ...], dict[str, Any], bool]] = []
    for number, (was, block) in enumerate(blocks):
        twin = _twin(was, number, len(blocks), value)
        if twin is None:
            others.append((was, block))
            continue
        path, is_json = twin
        now = _read(block["text"]) if is_json else block["text"]
        own = _at(value, path)
        joined = _joined(own, _at(edited, path), WITHHELD if now is _MISSING else now)
        edited = _put(edited, path, joined)
        twins.append((path, block, is_json))
    for path, block, is_json in twins:
        now = _at(edited, path)
        if not is_json:
            block["text"] = now if isinstance(now, str) else WITHHELD
        elif _read(block["text"]) != now:
            block["text"] = json.dumps(now, ensure_ascii=False)
    if not _same(edited, plain(new.get(STRUCTURED))):
        new[STRUCTURED] = edited
    if others and not _follow(value, edited, others):
        del new[STRUCTURED]


def _has_text(block: Any) -> bool:
    return isinstance(block, dict) and isinstance(block.get("text"), str)


def _twin(text: str, number: int, count: int, value: Any) -> tuple[tuple[Any, ...], bool] | None:
    """Returns the place of the value that a text shows, and whether it shows it as JSON; `None` if it shows no whole part."""
    paths: list[tuple[Any, ...]] = [()]
    if isinstance(value, dict) and len(value) == 1 and "result" in value:
        paths.append(("result",))
        if isinstance(value["result"], list) and len(value["result"]) == count:
            paths.append(("result", number))
    for path in paths:
        if _at(value, path) == text:
            return path, False
    tree = _read(text)
    return next(((path, True) for path in paths if tree is not _MISSING and _same(_at(value, path), tree)), None)


def _read(text: str) -> Any:
    try:
        return plain(read(text.encode()))
    except (JsonFault, UnicodeEncodeError):
        return _MISSING


def _same(left: Any, right: Any) -> bool:
    """Whether two trees are the same JSON: 1 is not true."""
    return bool(left == right) and json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    try:
        return reach(tree, path)
    except (KeyError, IndexError, TypeError):  # an edit has taken the place away
        return WITHHELD


def _put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Puts a value at a place of a tree. Returns the tree; one without the place is withheld."""
    if not path:
        return value
    try:
        reach(tree, path[:-1])[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return WITHHELD
    return tree


def _joined(old: Any, left: Any, right: Any) -> Any:
    """Returns a value with the edits of both sides."""
    if _same(old, left) or _same(left, right):
        return right
    if _same(old, right):
        return left
    if all(isinstance(each, dict) and len(each) == len(old) for each in (old, left, right)):
        pairs = zip(old.items(), left.items(), right.items(), strict=True)
        return {
            (ours if ours != key else theirs): _joined(was, mine, other)
            for (key, was), (ours, mine), (theirs, other) in pairs
        }
    if all(isinstance(each, list) and len(each) == len(old) for each in (old, left, right)):
        return [_joined(was, mine, other) for was, mine, other in zip(old, left, right, strict=True)]
    return WITHHELD


def _quoted(text: str) -> str:
    """Returns a text as it stands inside of a string of JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _changes(old: Any, new: Any) -> Iterator[tuple[str, str]]:
    """Yields the strings of a value, plain and as JSON, and what is left of each."""
    waiting = [(old, new)]
    for was, now in waiting:
        if isinstance(was, dict) and isinstance(now, dict):
            yield from zip(was, now, strict=False)
            waiting += zip(was.values(), now.values(), strict=False)
        elif isinstance(was, list) and isinstance(now, list):
            waiting += zip(was, now, strict=False)
        elif isinstance(was, _SCALARS) and not isinstance(was, bool):
            yield str(was), str(now)
            if (quoted := _quoted(str(was))) != was:
                yield quoted, _quoted(str(now))


def _follow(value: Any, edited: Any, blocks: list[tuple[str, dict[str, Any]]]) -> bool:
    """Puts the edits of strings into texts that hold them among other words. Returns whether the value may be sent: no text
    lost a string that it still has."""
    pairs = list(dict.fromkeys(pair for pair in _changes(value, edited) if len(pair[0]) >= _LEAST_CHARS))
    changed = [(was, now) for was, now in pairs if was != now]
    kept = {was for was, now in pairs if was == now}
    # The longest first, as a string may be a part of another.
    for was, now in sorted(changed, key=lambda pair: -len(pair[0]))[:_LIMIT_STRINGS]:
        for _, block in blocks:
            block["text"] = block["text"].replace(was, now)
    lost = [(was, block["text"]) for was, block in blocks if was != block["text"]]
    if len(changed) > _LIMIT_STRINGS or (lost and len(kept) > _LIMIT_STRINGS):
        return False
    return not any(text in was and was.count(text) > now.count(text) for was, now in lost for text in kept)
