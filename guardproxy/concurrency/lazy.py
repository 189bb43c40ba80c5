"""Attributes that are computed at their first use.

`functools.cached_property` is not used: up to Python 3.11 all objects of a class share one lock for it, and the lock is held
while a value is computed. So a thread that composes a large record would keep the event loop from composing a small one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class lazy(Generic[Value]):  # noqa: N801 - used as a decorator, as `property` is
    """A property whose value the object keeps from its first use on. Takes no lock: two threads that ask at the same time may
    both compute the value, so it must be the same each time."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[Value]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[Value] | Value:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
