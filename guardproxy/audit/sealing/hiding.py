"""Removes from the document of a record what is to be sealed. Pure.

In: the JSON object of a record. Out: another one, which shares the members that need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXT = ("text", "shape")  # the shape quotes the request's schema
_PLACES = ("uninspected", "unmapped")


def without_texts(document: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """Returns the document without texts and bodies. `paths`: paths that show a key which is text -> the same without it."""
    shown = dict(document)
    request = _side(document["request"], paths)
    shown["request"] = request if request["body"] is None else {**request, "body": None}
    shown["response"] = _side(document["response"], paths)
    if "attempts" in document:
        shown["attempts"] = [_attempt(attempt, paths) for attempt in document["attempts"]]
    if paths:
        for name, key in (("decisions", "path"), ("fields", "field")):
            if name in document:
                shown[name] = [{**part, key: paths.get(part[key], part[key])} for part in document[name]]
    return shown


def _attempt(attempt: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    if attempt.get("response") is None:
        return dict(attempt)
    return {**attempt, "response": _side(attempt["response"], paths)}


def _side(side: dict[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    if not side["texts"] and not paths:
        return side
    texts = [{name: value for name, value in text.items() if name not in _TEXT} for text in side["texts"]]
    for text in texts:
        text["text"] = None
        text["path"] = paths.get(text["path"], text["path"])
    rest = {name: [paths.get(path, path) for path in side[name]] for name in _PLACES} if paths else {}
    return {**side, **rest, "texts": texts}
