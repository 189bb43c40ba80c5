"""Checks turn text into findings: one check a file, the file's name is its name in a policy (`use: pii`).

A check file holds `build(name, options, resources) -> Check` and declares its options once, as `OPTIONS` (`_options.py`); a
file whose name begins with `_` is shared code. Another package adds a check by an entry point of the group `guardproxy.checks`
that names such a function, beside which `OPTIONS` may stand.

The contract, which `tests/property/` and `guardproxy.testing` hold every check to: for every way of cutting a text into
windows (each window begins at the `keep` of the scan before it) the findings are those of the whole text scanned at once, and
the check is what its `traits` say. A check without traits is refused.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol, cast

from guardproxy import plugins
from guardproxy.checks._options import Option
from guardproxy.errors import OptionError, PluginError
from guardproxy.findings import Check, Traits


@dataclass(frozen=True, slots=True)
class Query:
    """A text to be judged, and which of the model's `outputs` are asked for.

    `first_stage`: a cheap model may judge the evidently harmless, where there is one.
    """

    text: str
    outputs: tuple[str, ...]
    first_stage: bool = True


@dataclass(frozen=True, slots=True)
class ScoredPiece:
    """One piece of a text, its characters `start` to `end`, and for each output asked for its score, 0.0 to 1.0."""

    start: int
    end: int
    scores: Mapping[str, float]


class Scorer(Protocol):
    """A model that gives texts scores, whoever runs it.

    `outputs`: what it gives a score for. `labels`: for each label the outputs behind it, by the kind of channel (`any`:
    kinds without an entry); each output is a label too. `points`: for each output the score at each operating point;
    `default_point`: the one that counts unless a policy says otherwise.
    """

    @property
    def digest(self) -> str: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]: ...

    @property
    def points(self) -> Mapping[str, Mapping[str, float]]: ...

    @property
    def default_point(self) -> str: ...

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        """The pieces of each text, in order, overlapping, every character in one; they depend on the query alone."""
        ...


@dataclass(frozen=True, slots=True)
class Tag:
    """A name in a text. Offsets as everywhere; `label` is Presidio's word; `score` is 0.0 to 1.0."""

    start: int
    end: int
    label: str
    score: float


class Tagger(Protocol):
    """A model that finds names in texts, whoever runs it.

    `thresholds`: for each label that it knows, the score from which a tag counts. `plain`: words, as they are written,
    that by themselves are no part of a name, and `timeless` those of them that are no part of a date either: a sentence
    of nothing else need not be tagged.
    """

    @property
    def digest(self) -> str: ...

    @property
    def thresholds(self) -> Mapping[str, float]: ...

    @property
    def plain(self) -> frozenset[str]: ...

    @property
    def timeless(self) -> frozenset[str]: ...

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        """The tags of each text, in order, without overlaps; those of a text depend on that text alone."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What a check may be handed so that the checks' room stays pure.

    `scorer(name)` and `tagger(name)` load or find a model. `read(path)` gives a file of the policies' folder, by its path
    below it, or raises `OSError`. `remote(url, timeout_s)` gives a service that may be asked, or raises `OptionError`. `code`:
    whether an option may name a class to import.
    """

    scorer: Callable[[str], Scorer] | None = None
    tagger: Callable[[str], Tagger] | None = None
    read: Callable[[str], bytes] | None = None
    remote: Callable[[str, float], Any] | None = None
    code: bool = False


def with_partner(check: Check) -> tuple[Check, ...]:
    """The check, and its partner if it has one."""
    return (check, check.traits.partner) if check.traits.partner else (check,)


Builder = Callable[[str, Mapping[str, Any], Resources], Check]


def known() -> list[str]:
    """The names that `use:` can take: the files of this folder and the entry points."""
    return sorted({*own_names(), *plugins.names(plugins.CHECKS)})


def own_names() -> set[str]:
    """The checks of this package."""
    return {module.name for module in iter_modules([str(Path(__file__).parent)]) if not module.name.startswith("_")}


def options(use: str) -> Mapping[str, Option]:
    """The options that the check `use` declares; none where it is unknown or declares none."""
    if (own := _own(use)) is not None:
        return cast(Mapping[str, Option], own.OPTIONS)
    try:
        builder = plugins.load(plugins.CHECKS, use, own_names())
    except PluginError:
        return {}  # building it says so
    return cast(Mapping[str, Option], getattr(sys.modules.get(getattr(builder, "__module__", "")), "OPTIONS", {}))


def _own(use: str) -> Any:
    """The file of a check of this package."""
    if use.isidentifier() and not use.startswith("_") and find_spec(f"guardproxy.checks.{use}"):
        return importlib.import_module(f"guardproxy.checks.{use}")
    return None


def build(use: str, name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """The check `use` under the name `name`. Raises `OptionError` for an unknown check or a bad option."""
    if (own := _own(use)) is not None:
        builder = own.build
    else:
        builder = plugins.load(plugins.CHECKS, use, own_names())
        if builder is None:
            near = get_close_matches(use, known(), 1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; known checks: {', '.join(known())}"
            raise OptionError("use", f"unknown check `{use}`{hint}")
        return _foreign(use, cast(Builder, builder), name, options, resources)
    return cast(Builder, builder)(name, options, resources)


def _foreign(use: str, builder: Builder, name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """A check of another package. Raises `OptionError`, or `PluginError` for whatever else goes wrong in it."""
    whose = plugins.whose(plugins.CHECKS, use)
    try:
        check = builder(name, options, resources)
    except OptionError:
        raise
    except Exception as error:
        raise PluginError(f"the plug-in {whose} failed: {type(error).__name__}: {error}") from error
    if fault := _fault(check, name):
        raise PluginError(f"the plug-in {whose} must give a check that has {fault}")
    return check


def _fault(check: Any, name: str) -> str:
    """What the check of another package lacks; empty if it keeps the contract. Nothing is taken for granted."""
    if getattr(check, "name", None) != name or not isinstance(getattr(check, "digest", None), str):
        return "the name it was given, and a digest"
    if not isinstance(traits := getattr(check, "traits", None), Traits):
        return "traits (`traits = guardproxy.checks.Traits()` is the safe choice)"
    if traits.partner is not None and (fault := _fault(traits.partner, name)):
        return f"a partner that has {fault}"
    if traits.partner is not None and traits.partner.traits.partner_of != check.digest:
        return "a partner whose `partner_of` is the digest of the check"
    return ""
