"""The contract of checks, which turn text into findings. Each check is a file with its name in policies (`use: pii`).

A check file holds `build(name, options, resources) -> Check` and declares its options in `OPTIONS` (`options.py`). A
file whose name begins with `_` is shared code. Another package adds a check by an entry point of the group
`guardproxy.checks` that names such a function; `OPTIONS` may be an attribute of its module.

`tests/property/` and `guardproxy.testing` test that every check keeps the contract: for every way of cutting a text
into windows (each window begins at the `keep` of the previous scan) the findings are those of the whole text scanned
at once, and the check behaves as its `traits` declare. A check without traits is refused.

Decision: docs/decisions/0029-a-check-without-traits-is-refused.md
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple, Protocol, cast

from guardproxy import plugins
from guardproxy.checks._shared.declared.foreign import hint
from guardproxy.checks._shared.declared.options import Option
from guardproxy.errors import OptionError, PluginError
from guardproxy.findings import Check, Kind, Traits


@dataclass(frozen=True, slots=True)
class Query:
    """A text to be scored, and the `outputs` of the model to return.

    `first_stage`: a cheap first model, if there is one, may clear texts that are clearly harmless. `kind`: the kind of
    the text's channel, for models that score the same text differently in different channels; `None` if it is unknown.
    """

    text: str
    outputs: tuple[str, ...]
    first_stage: bool = True
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class ScoredPiece:
    """A piece of a text, characters `start` to `end`, and its score (0.0 to 1.0) for each requested output.

    `cleared`: whether the first model cleared the piece; the scores are then its estimates.
    """

    start: int
    end: int
    scores: Mapping[str, float]
    cleared: bool = False


class Scorer(Protocol):
    """A model that scores texts. It may run in this process or elsewhere.

    `outputs`: the names of its scores. `labels`: the outputs of each label, by the kind of channel (`any`: kinds
    without an entry); each output is a label too. `points`: for each output the score at each operating point, in
    kinds of channel without points of their own; `default_point`: the operating point of a policy that names none.
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

    def points_in(self, kind: Kind) -> Mapping[str, Mapping[str, float]]:
        """Returns for each output the score at each operating point in a kind of channel."""
        ...

    def clears_from(self, kind: Kind) -> Mapping[str, float]:
        """Returns for each output for which a cheap first model can clear texts of this kind of channel the lowest
        threshold of a policy for which it may; empty without such a model."""
        ...

    def judge(self, queries: Sequence[Query]) -> list[tuple[ScoredPiece, ...]]:
        """Returns the pieces of each text, in order. Pieces overlap, and every character is in a piece. They depend on
        the query alone."""
        ...


@dataclass(frozen=True, slots=True)
class Tag:
    """A name in a text. Offsets are code points, end exclusive; `label` is Presidio's entity name; `score` is 0.0 to
    1.0."""

    start: int
    end: int
    label: str
    score: float


class Tagger(Protocol):
    """A model that finds names in texts. It may run in this process or elsewhere.

    `thresholds`: for each of its labels, the lowest score at which a tag counts. `plain`: words, case-sensitive, that
    are never part of a name; `timeless`: those that are never part of a date either. A sentence of plain words need
    not be tagged. `context_words`: the most words before a piece of text that help to tag it. `is_slow`: whether it takes
    milliseconds for a sentence, so that it never runs on the event loop.
    """

    @property
    def digest(self) -> str: ...

    @property
    def thresholds(self) -> Mapping[str, float]: ...

    @property
    def plain(self) -> frozenset[str]: ...

    @property
    def timeless(self) -> frozenset[str]: ...

    @property
    def context_words(self) -> int: ...

    @property
    def is_slow(self) -> bool: ...

    def tag(self, texts: Sequence[str]) -> list[list[Tag]]:
        """Returns the tags of each text, in order, without overlaps. The tags of a text depend on that text alone."""
        ...


class TextPair(NamedTuple):
    """Two texts, of which the second is judged against the first: a sentence of an answer against a passage of a document, or a
    question against an earlier question."""

    first: str
    second: str


class PairScores(NamedTuple):
    """The probabilities that the second text follows from the first, that it contradicts it, and that it does neither. Their
    sum is 1."""

    entails: float
    contradicts: float
    neutral: float


class PairJudge(Protocol):
    """A model that judges pairs of texts. It may run in this process or elsewhere. It takes milliseconds for a pair, and never
    runs on the event loop.

    `points`: the lowest probability at each of its operating points, by name: `same` is reached by `entails` both ways for two
    texts that say or ask the same, `supported` by `entails`, and `contradicted` by `contradicts`.
    """

    @property
    def digest(self) -> str: ...

    @property
    def points(self) -> Mapping[str, float]: ...

    def judge(self, pairs: Sequence[TextPair]) -> list[PairScores]:
        """Returns the scores of each pair, in order. They depend on the two texts alone. A second text that is too long for the
        model never follows. Raises `NoCapacityError`."""
        ...


class Embedder(Protocol):
    """A model that turns a text into a vector. It may run in this process or elsewhere.

    `dimensions`: the length of a vector.
    """

    @property
    def digest(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Returns a vector for each text, in order: an int8 number (two's complement) for each dimension, of unit length scaled
        to 127. Texts of similar meaning have a high dot product. A vector depends on its text alone."""
        ...


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model at an upstream of the operator that a check asks about texts. `check`: the name of the check; `wire_format`:
    the name of the wire format that the upstream speaks. `timeout_s`: for an answer. `calls`, `cost`: what may be asked in an
    hour for each tenant (`cost` in the unit of prices), `None` without a limit. `remembers`: whether verdicts may serve for
    equal texts."""

    check: str
    upstream: str
    model: str
    wire_format: str
    timeout_s: float
    calls: int | None = None
    cost: float | None = None
    remembers: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that a check may use, so that the package itself stays pure.

    `scorer(name)` and `tagger(name)` load or find a model. `read(path)` returns a file, by its path below the
    policies' folder, or raises `OSError`. `remote(url, timeout_s)` returns a client of a service, or raises
    `OptionError`. `code`: whether an option may name a class to import. `pairs(name)` and `embedder(name)` load or find a
    model, as `scorer` does. `background(name)` returns the vectors of the ordinary texts that an embedding model has.
    `tokenizer(name)` returns the file `tokenizer.json` of a model. `asking(model)`
    returns a client of a model at an upstream, or raises `OptionError`.
    """

    scorer: Callable[[str], Scorer] | None = None
    tagger: Callable[[str], Tagger] | None = None
    read: Callable[[str], bytes] | None = None
    remote: Callable[[str, float], Any] | None = None
    code: bool = False
    pairs: Callable[[str], PairJudge] | None = None
    embedder: Callable[[str], Embedder] | None = None
    background: Callable[[str], Sequence[bytes]] | None = None
    tokenizer: Callable[[str], bytes] | None = None
    asking: Callable[[AskedModel], Any] | None = None


def with_partner(check: Check) -> tuple[Check, ...]:
    """Returns the check, and its partner if it has one."""
    return (check, check.traits.partner) if check.traits.partner else (check,)


Builder = Callable[[str, Mapping[str, Any], Resources], Check]


def check_names() -> list[str]:
    """Returns the names that `use:` accepts: the files of this folder and the entry points."""
    return sorted({*own_names(), *plugins.names(plugins.CHECKS)})


def own_names() -> set[str]:
    """Returns the names of this package's checks."""
    return {module.name for module in iter_modules([str(Path(__file__).parents[2])]) if not module.name.startswith("_")}


def options(use: str) -> Mapping[str, Option]:
    """Returns the options that the check `use` declares; empty if the check is unknown or declares none."""
    if (own := _own(use)) is not None:
        return cast(Mapping[str, Option], own.OPTIONS)
    try:
        builder = plugins.load(plugins.CHECKS, use, own_names())
    except PluginError:
        return {}  # `build` reports the error
    return cast(Mapping[str, Option], getattr(sys.modules.get(getattr(builder, "__module__", "")), "OPTIONS", {}))


def _own(use: str) -> Any:
    """Imports the file of a check of this package."""
    if use.isidentifier() and not use.startswith("_") and find_spec(f"guardproxy.checks.{use}"):
        return importlib.import_module(f"guardproxy.checks.{use}")
    return None


def build(use: str, name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds the check `use` under the name `name`. Raises `OptionError` for an unknown check or a bad option."""
    if (own := _own(use)) is not None:
        builder = own.build
    else:
        builder = plugins.load(plugins.CHECKS, use, own_names())
        if builder is None:
            near = hint(use, check_names(), "check") or f"; known checks: {', '.join(check_names())}"
            raise OptionError("use", f"unknown check `{use}`{near}")
        return _foreign(use, cast(Builder, builder), name, options, resources)
    return cast(Builder, builder)(name, options, resources)


def _foreign(use: str, builder: Builder, name: str, options: Mapping[str, Any], resources: Resources) -> Check:
    """Builds a check of another package. Raises `OptionError`, and `PluginError` for any other error of the plug-in."""
    whose = plugins.whose(plugins.CHECKS, use)
    try:
        check = builder(name, options, resources)
    except OptionError:
        raise
    except Exception as error:
        raise PluginError(f"the plug-in {whose} failed: {type(error).__name__}: {error}") from error
    if fault := _fault(check, name):
        raise PluginError(f"the plug-in {whose} must return a check that has {fault}")
    return check


def _fault(check: Any, name: str) -> str:
    """Returns the requirement that a plug-in's check violates, or an empty text. Every member is tested."""
    if getattr(check, "name", None) != name or not isinstance(getattr(check, "digest", None), str):
        return "the name it was given, and a digest"
    if not isinstance(traits := getattr(check, "traits", None), Traits):
        return "traits (`traits = guardproxy.checks.Traits()` is the safe choice)"
    if traits.partner is not None and (fault := _fault(traits.partner, name)):
        return f"a partner that has {fault}"
    if traits.partner is not None and traits.partner.traits.partner_of != check.digest:
        return "a partner whose `partner_of` is the digest of the check"
    return ""
