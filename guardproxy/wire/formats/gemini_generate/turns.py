"""Further turns of a Gemini request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn
from guardproxy.wire.formats.gemini_generate.field_case import snake, value
from guardproxy.wire.request.system import SystemChange, changed_content, text_in

_MODEL = re.compile(r"/(models/|tunedModels/)([^/:]+)(:[A-Za-z]+)\Z")
_TUNED = "tunedModels/"
_PLAIN = "models/"


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` as its last turns. A call is described in words, because a
    server takes a call back only with the signature of the thought that led to it."""
    turns = [_content("model", turn.in_words()), _content("user", feedback)]
    return {**tree, "contents": [*contents(tree), *turns]}


def _content(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text}]}


def contents(tree: Any) -> list[Any]:
    """Returns the contents of a request, in whichever field they are."""
    whole = value(tree, "generateContentRequest")
    if isinstance(whole, dict):
        return contents(whole)
    batch = value(tree, "requests")
    if isinstance(batch, list):
        return [value(item, "content") for item in batch]
    found = value(tree, "contents")
    found = value(tree, "content") if found is None else found
    return found if isinstance(found, list) else [] if found is None else [found]


def texts_of(content: Any) -> list[str]:
    """Returns the texts of a content, thoughts left out."""
    parts = value(content, "parts")
    listed = parts if isinstance(parts, list) else [parts]
    return [
        part["text"]
        for part in listed
        if isinstance(part, dict) and isinstance(part.get("text"), str) and part.get("thought") is not True
    ]


def first_words(tree: Any) -> str:
    """Returns the texts of the user's first content that has text."""
    for content in contents(tree):
        is_user = isinstance(content, dict) and content.get("role") in (None, "user")
        if is_user and (words := "".join(texts_of(content))):
            return words
    return ""


def model_of(path: str) -> str:
    """Returns the model that a path names; empty if it names none. The name of a tuned model begins with `tunedModels/`, as a
    model of Google may have the same name."""
    match = _MODEL.search(path)
    return f"{match[1]}{match[2]}".removeprefix(_PLAIN) if match else ""


def resource_of(model: str) -> str:
    """Returns the name of a model as bodies and paths write it."""
    return model if model.startswith(_TUNED) else f"{_PLAIN}{model}"


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """Returns the path and the body of the request for another model. Bodies may repeat the model's name."""
    return _MODEL.sub(lambda match: f"/{resource_of(model)}{match[3]}", path), _renamed(tree, model)


def _renamed(tree: Mapping[str, Any], model: str) -> dict[str, Any]:
    out = dict(tree)
    if "model" in out:
        out["model"] = resource_of(model)
    for name in ("generateContentRequest", "generate_content_request"):
        if isinstance(out.get(name), dict):
            out[name] = _renamed(out[name], model)
    if isinstance(out.get("requests"), list):
        out["requests"] = [_renamed(item, model) if isinstance(item, dict) else item for item in out["requests"]]
    return out


def system_of(tree: Any) -> str | None:
    """Returns the system prompt of a request; `None` for a request for embeddings, and for one that goes on with cached
    content, beside which servers take no system prompt."""
    whole = value(tree, "generateContentRequest")
    if isinstance(whole, dict):
        return system_of(whole)
    if value(tree, "contents") is None or value(tree, "cachedContent") is not None:
        return None
    given = value(tree, "systemInstruction")
    return given if isinstance(given, str) else text_in(_parts(given))


def with_system(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """Returns the request with a changed system prompt."""
    for name in ("generateContentRequest", "generate_content_request"):
        if isinstance(whole := tree.get(name), dict):
            return {**tree, name: with_system(whole, change)}
    name = "systemInstruction"
    name = snake(name) if snake(name) in tree else name
    given = tree.get(name)
    if isinstance(given, str):
        return {**tree, name: change.text(given)}
    parts = changed_content(_parts(given), change, {})
    parts = parts if isinstance(parts, list) else [{"text": parts}]
    return {**tree, name: {**(given if isinstance(given, dict) else {}), "parts": parts}}


def _parts(content: Any) -> list[Any]:
    """The parts of a content, which can be a single part."""
    parts = value(content, "parts")
    return parts if isinstance(parts, list) else [] if parts is None else [parts]
