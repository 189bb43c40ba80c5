"""Walks the types of an installed SDK: every place of a request, of an answer or of an event that can hold a string.

In: a type of the SDK (a pydantic model, a `TypedDict`, or a union of them). Out: for each place its path, a function that
builds an object with a value at the place, and the words that the type allows there. The fields that tell kinds of objects
apart are set. A type that contains itself is entered once.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

Build = Callable[[Any], Any]
_TELLING = ("type", "role", "method")


@dataclass(frozen=True, slots=True)
class Place:
    """A place for a string. `build`: an object with a value at the place. `words`: the words that the type allows; empty if
    any string is allowed. `is_key`: the string is the key of a mapping."""

    path: str
    build: Build
    words: tuple[str, ...] = ()
    is_key: bool = False


def places(type_: Any, entered: tuple[Any, ...] = ()) -> Iterator[Place]:
    """Yields every place of a type. `entered`: the models that contain the type."""
    type_ = _plain(type_)
    origin, arguments = get_origin(type_), get_args(type_)
    if type_ in (str, bytes, datetime, Any, object):
        yield Place("", _same)
    elif isinstance(type_, type) and issubclass(type_, Enum):
        yield Place("", _same, tuple(member.value for member in type_))
    elif origin is Literal:
        if words := tuple(word for word in arguments if isinstance(word, str)):
            yield Place("", _same, words)
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from places(member, entered)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield Place(".{key}", lambda value: {value: "x"}, is_key=True)
        for place in places(arguments[1], entered):
            yield _inside(place, ".*", lambda inner: {"x": inner})
    elif isinstance(origin, type) and arguments:
        for place in places(arguments[0], entered):
            yield _inside(place, "[]", lambda inner: [inner])
    elif is_model(type_) and _is_written_as_text(type_):
        yield Place("", _same)
    elif is_model(type_) and type_ not in entered:
        fields = _fields(type_)
        frame = {name: words[0] for name in _TELLING if (words := _words(fields.get(name)))}
        mark = f"<{frame['type']}>" if "type" in frame else ""
        for name, field in fields.items():
            for place in places(field, (*entered, type_)):
                yield _inside(place, f"{mark}.{name}", lambda inner, name=name: {**frame, name: inner})  # type: ignore[misc]


def is_model(type_: Any) -> bool:
    """Whether a type has named fields."""
    return _is_typed_dict(type_) or (isinstance(type_, type) and issubclass(type_, BaseModel))


def members(type_: Any) -> list[Any]:
    """The models of a union."""
    type_ = _plain(type_)
    return [type_] if is_model(type_) else [model for member in get_args(type_) for model in members(member)]


def _is_typed_dict(type_: Any) -> bool:
    """Whether a type is a `TypedDict`, of the standard library or of `typing_extensions`."""
    return hasattr(type_, "__required_keys__")


def _is_written_as_text(model: Any) -> bool:
    """Whether a model writes itself as something else than an object of its fields."""
    if _is_typed_dict(model):
        return False
    serializers = model.__pydantic_decorators__.model_serializers.values()
    return any(serializer.info.mode == "plain" for serializer in serializers)


def _same(value: Any) -> Any:
    return value


def _inside(place: Place, step: str, wrap: Build) -> Place:
    return Place(step + place.path, lambda value: wrap(place.build(value)), place.words, place.is_key)


def _plain(type_: Any) -> Any:
    """The type without annotations, aliases and type variables."""
    while True:
        if (
            get_origin(type_) is Annotated
            or type(type_).__name__ in ("Required", "NotRequired")
            or getattr(get_origin(type_), "_name", "") in ("Required", "NotRequired")
        ):
            type_ = get_args(type_)[0]
        elif hasattr(type_, "__value__"):
            type_ = type_.__value__
        elif isinstance(type_, TypeVar):
            type_ = Any
        else:
            return type_


def _fields(model: Any) -> dict[str, Any]:
    """The types of a model's fields by their names on the wire."""
    if _is_typed_dict(model):
        hints = get_type_hints(model, include_extras=True)
        return {_alias(hint) or name: hint for name, hint in hints.items()}
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _alias(hint: Any) -> str:
    """The name on the wire that the SDK's annotation gives to a field of a `TypedDict`."""
    if get_origin(hint) is Annotated:
        named = (getattr(extra, "alias", None) for extra in get_args(hint)[1:])
        return next((alias for alias in named if alias), "") or _alias(get_args(hint)[0])
    if getattr(get_origin(hint), "_name", "") in ("Required", "NotRequired"):
        return _alias(get_args(hint)[0])
    return ""


def _words(type_: Any) -> tuple[str, ...]:
    type_ = _plain(type_)
    return tuple(get_args(type_)) if get_origin(type_) is Literal and isinstance(get_args(type_)[0], str) else ()
