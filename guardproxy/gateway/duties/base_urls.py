"""Says how the base URL of a client is wrong, for a path that would be known with another beginning.

In: the method and the path of a request, and the known routes. Out: the route that is meant and what to change, or nothing.

A client joins its base URL and the path of a call. SDKs differ in what belongs to which: for some, the base URL ends in `/v1`,
for others it does not. So the beginning of a path is wrong far more often than its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

LIMIT_STEPS = 8
"""Steps of a path that is looked at: each costs a look-up for each beginning of a route."""
LIMIT_CHANGES = 4
COST_OF_PARAMETER = 2

Steps = tuple[str, ...]


def beginnings(routes: Iterable[str]) -> tuple[Steps, ...]:
    """Returns the steps with which known paths begin, up to the first parameter, in the order of the routes. The last step of a
    path belongs to no base URL."""
    found: dict[Steps, None] = {(): None}
    for route in routes:
        steps = _steps(route.partition(" ")[2])
        count = next((at for at, step in enumerate(steps) if "{" in step), len(steps) - 1)
        for length in range(1, count + 1):
            found[steps[:length]] = None
    return tuple(found)


def base_url_advice(
    method: str, path: str, known: tuple[Steps, ...], pattern_of: Callable[[str], str]
) -> tuple[str, str]:
    """Returns the known route that a client means by an unknown path, and what to change in its base URL; both empty if no
    other beginning of the path makes a known route. `known`: the beginnings of known paths; `pattern_of`: returns the
    pattern that knows a method and a path; empty if none does."""
    steps = _steps(path)
    found: list[tuple[int, str, str]] = []
    for cut, right in _changes(steps, known) if len(steps) <= LIMIT_STEPS else ():
        route = f"{method} /{'/'.join((*right, *steps[cut:]))}"
        pattern = pattern_of(route)
        if _keeps_a_word(_steps(pattern.partition(" ")[2])[len(right) :]):
            shared = _shared(steps[:cut], right)
            wrong, missing = steps[shared:cut], right[shared:]
            # A parameter takes any step, also one that belongs to a wrong beginning.
            cost = len(wrong) + len(missing) + COST_OF_PARAMETER * pattern.count("{")
            found.append((cost, route, _change(wrong, missing)))
    return min(found, key=lambda advice: advice[0])[1:] if found else ("", "")


def _keeps_a_word(kept: Steps) -> bool:
    """Whether the part of a pattern that the client wrote has a word: `/anything` is no call of `/models/{model}`."""
    return any(not (step.startswith("{") and step.endswith("}")) for step in kept)


def _steps(path: str) -> Steps:
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


def _changes(steps: Steps, known: tuple[Steps, ...]) -> Iterator[tuple[int, Steps]]:
    """Yields how many steps a path would lose at its beginning, and those that it would get."""
    for cut in range(len(steps)):
        for right in known:
            if cut + len(right) - 2 * _shared(steps[:cut], right) <= LIMIT_CHANGES:
                yield cut, right


def _shared(left: Steps, right: Steps) -> int:
    """Returns how many steps both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (step, other) in pairs if step != other), min(len(left), len(right)))


def _change(wrong: Steps, right: Steps) -> str:
    lost, got = (f"`/{'/'.join(part)}`" for part in (wrong, right))
    if wrong and right:
        return f"write {got} for {lost} in the base URL of the client"
    if right:
        return f"the base URL of the client lacks {got}"
    if wrong:
        return f"leave {lost} out of the base URL of the client"
    return "leave the slash at the end of the path out"
