"""The policies that the proxy serves, loaded in the console: rules, thresholds and a replay need them.

In: the path of the policies. Out: the policies with their checks. Kept: the last ones, until a file of the path changes.
Loading takes seconds where policies name models, so a page is shown without them first.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from guardproxy.checks import Supervisor, TopicCheck
from guardproxy.errors import GuardproxyError
from guardproxy.library import load
from guardproxy.policy import PolicySet

Stamp = tuple[tuple[str, int, int], ...]
LIMIT_FILES = 10_000


class ServedPolicies:
    """Loads the policies at a path once for each version of their files. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._key: tuple[Path, bool, Stamp] | None = None
        self._policies: PolicySet | None = None
        self._fault = ""

    def ready(self, paths: tuple[Path, ...], code: bool) -> tuple[PolicySet | None, str, bool]:
        """Returns the policies if they are loaded, why they cannot be loaded, and whether either is known."""
        key = _key(paths, code)
        # Without the lock, which `load` holds for seconds. The key is set last, so the values are those of the key.
        if key is not None and self._key == key:
            return self._policies, self._fault, True
        return None, "", key is None

    def load(self, paths: tuple[Path, ...], code: bool) -> tuple[PolicySet | None, str]:
        """Returns the policies, or why they cannot be loaded."""
        key = _key(paths, code)
        if key is None:
            return None, "the console knows no policies"
        with self._lock:
            if self._key != key:
                # Without a key first: `ready` asks no lock, and must not take these for what the files are like.
                self._key, self._policies, self._fault = None, None, ""
                try:
                    self._policies = load(key[0], code=code)
                except (GuardproxyError, OSError) as error:
                    self._fault = str(error)
                self._key = key
            return self._policies, self._fault


def least_scores(policies: PolicySet) -> dict[str, float]:
    """Returns the lowest score that is a finding of a check, by the name of the check, for the checks that have a threshold."""
    least: dict[str, list[float]] = {}
    for policy in policies.policies:
        for name in policy.checks:
            check = policies.checks.get((policy.name, name))
            found: list[Any]
            if isinstance(check, Supervisor):
                places = [*check.wanted.values(), *check.names.values()]
                found = [score for place in places for output in place for score in output.thresholds.values()]
            elif isinstance(check, TopicCheck):
                found = [topic.threshold for topic in check.topics]
            else:
                given = policy.checks[name].options.get("threshold")
                found = [*given.values()] if isinstance(given, dict) else [given]
            numbers = [
                float(score) for score in found if isinstance(score, int | float) and not isinstance(score, bool)
            ]
            if check is not None and numbers:
                least.setdefault(check.name, []).append(min(numbers))
    return {name: min(scores) for name, scores in least.items()}


def _key(paths: tuple[Path, ...], code: bool) -> tuple[Path, bool, Stamp] | None:
    return (paths[0], code, _stamp(paths[0])) if paths else None


def _stamp(place: Path) -> Stamp:
    """Returns what changes when a file of the policies does."""
    try:
        files = sorted(place.rglob("*"))[:LIMIT_FILES] if place.is_dir() else [place]
        found = [(str(path), path.stat()) for path in files if path.is_file()]
    except OSError:
        return ()
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


SERVED = ServedPolicies()
"""Of this process: a console serves one proxy."""
