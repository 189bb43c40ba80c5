"""The frozen values that a policy file becomes. `file/reader.py` reads a file into them; `file/keys.py` declares its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from guardproxy.conditions.canonical_names import lower_case
from guardproxy.decisions import Retry
from guardproxy.findings import KINDS, Direction, Kind
from guardproxy.policy.conditions.expression import Expression
from guardproxy.policy.conditions.matching import Match
from guardproxy.policy.values.cases import PolicyTest
from guardproxy.policy.values.fields import NO_FIELD_RULES, FieldRules
from guardproxy.policy.yaml.tree import FilePlace
from guardproxy.redaction import EVERYWHERE, PLACEHOLDERS, Operators, Restoration
from guardproxy.wire.declared import DeclaredFormat

__all__ = [
    "INTENT",
    "KEEP",
    "KINDS_OF",
    "MEDIA",
    "MODES",
    "ON_ERROR",
    "PARALLEL",
    "PASSES",
    "SEVERITIES",
    "UNMAPPED",
    "CheckSpec",
]
__all__ += [
    "Intent",
    "Keep",
    "Match",
    "Mode",
    "OnError",
    "Parallel",
    "Passes",
    "Policy",
    "PolicyTest",
    "Rule",
    "Severity",
    "Unmapped",
]

OnError = Literal["block", "flag"]
Unmapped = Literal["scan", "refuse"]
Passes = Literal["pass", "refuse"]
Keep = Literal["none", "sealed", "redacted"]
Intent = Literal["off", "on"]
Mode = Literal["enforce", "shadow"]
Severity = Literal["low", "medium", "high", "critical"]
Parallel = Literal["off", "on", "always"]

ON_ERROR: tuple[OnError, ...] = get_args(OnError)
UNMAPPED: tuple[Unmapped, ...] = get_args(Unmapped)
PASSES: tuple[Passes, ...] = get_args(Passes)
KEEP: tuple[Keep, ...] = get_args(Keep)
INTENT: tuple[Intent, ...] = get_args(Intent)
MODES: tuple[Mode, ...] = get_args(Mode)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
AlertFormat = Literal["json", "slack"]
ALERT_FORMATS: tuple[AlertFormat, ...] = get_args(AlertFormat)
PARALLEL: tuple[Parallel, ...] = get_args(Parallel)

_HEADER = "header:"

# The kinds of content that no check can read.
MEDIA = ("image", "audio", "video", "file", "signature", "encrypted", "secret")

# An answer can echo every part of its request (some APIs do), so `response` has every kind but `document`. A request has no
# error text.
KINDS_OF: Mapping[Direction, frozenset[Kind]] = {
    "request": frozenset(KINDS) - {"error"},
    "response": frozenset(KINDS) - {"document"},
}


# A text that the user did not write may come from a tool or in a document; a rule about texts of tools covers both.
_WIDER: Mapping[Kind, frozenset[Kind]] = {
    kind: frozenset(("tool_result", "document") if kind == "tool_result" else (kind,)) for kind in KINDS
}


# The words of `on`: a direction, a kind in both directions, or a kind in a single direction.
WORDS_OF_ON: Mapping[str, frozenset[tuple[Direction, Kind]]] = {
    **{direction: frozenset((direction, kind) for kind in kinds) for direction, kinds in KINDS_OF.items()},
    **{
        kind: frozenset((direction, wide) for direction, kinds in KINDS_OF.items() for wide in _WIDER[kind] & kinds)
        for kind in KINDS
    },
    **{
        f"{direction}.{kind}": frozenset((direction, wide) for wide in _WIDER[kind] & kinds)
        for direction, kinds in KINDS_OF.items()
        for kind in KINDS
        if kind in kinds
    },
}


def words_for(places: frozenset[tuple[Direction, Kind]]) -> list[str]:
    """Returns the words of `on` for texts: a direction for all its kinds, otherwise a word for each kind."""
    words: list[str] = []
    for direction, kinds in KINDS_OF.items():
        named = [kind for kind in KINDS if (direction, kind) in places]
        words += [direction] if kinds.issubset(named) else [f"{direction}.{kind}" for kind in named]
    return words


def header_of(subject: str) -> str:
    """Returns the lower-case name of the header that names the subject (`Policy.subject`); empty if no header does."""
    return subject.removeprefix(_HEADER) if subject.startswith(_HEADER) else ""


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check that a file declares: the type of check (`use`) and its options as plain YAML values.

    `place`: the place of the check in the file. `places`: the places of its keys (`use` among them) and, as
    `words[2]`, of the items of lists. `on_error`: the consequence of its failure, if it differs from the policy's
    `on_error`.
    """

    use: str
    options: Mapping[str, Any]
    on_error: OnError | None = field(default=None, kw_only=True)
    place: FilePlace = field(default=FilePlace(), compare=False)
    places: Mapping[str, FilePlace] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """Where a message goes when a rule holds. `webhook`: a URL; `format`: the form of the message."""

    webhook: str
    format: AlertFormat = "json"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: takes `action` for a text of the kinds in `on` for which `when` holds.

    `out_of_reach`: the texts that `on` names and in which the action cannot act; no check of the rule can find anything there.
    `restoration`: the places in which values are restored if `restore` is true. `retry`: the details of the action
    `retry`. `early`: whether the valid beginning of an answer is streamed, so that a later error can only end the
    answer with an error. `parallel`: whether a request is judged while the upstream already works on it: never, unless
    the provider may act for it, or always. `share`: the number of conversations in a million for which the rule is
    enforced; `None`: all. `options`: options of another package's action. `places`: the places of its keys. `alert`:
    who is told when the rule holds, beside those whom the settings name.
    """

    id: str
    on: frozenset[tuple[Direction, Kind]]
    when: Expression
    action: str
    restore: bool = False
    operators: Operators = PLACEHOLDERS
    mode: Mode = "enforce"
    message: str = ""
    severity: Severity | None = None
    retry: Retry | None = None
    early: bool = False
    parallel: Parallel = "off"
    share: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    place: FilePlace = field(default=FilePlace(), compare=False)
    places: Mapping[str, FilePlace] = field(default_factory=dict, compare=False)
    restoration: Restoration = EVERYWHERE
    out_of_reach: frozenset[tuple[Direction, Kind]] = frozenset()
    alert: Alert | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy file, or its form for one tenant. `source`: its path. `place`: the place of its name; `places`: of its
    keys.

    `tenant`: the tenant whose overrides it contains; empty for the file without overrides. `stands_for`: the policies
    that it replaces because it is at least as strict (its baselines, the file without overrides). `root`: the first
    policy of a chain of `extends`; all policies of a chain enforce their shares for the same conversations. `opaque`:
    the refused kinds of content that no check can read. `token_ids`: what happens to integers that stand for a text.
    `formats`: the wire formats that the file declares.
    `subject`: whose key seals the texts: `user`, `tenant`, `conversation`, or `header:NAME` with a lower-case name.
    `fields`: the rules about fields. `sections`: the values of the sections of gateway tasks, by key (`Section.of`).
    `share`: the number of conversations in a million for which fields and sections are carried out; `None`: all. `mode`: in
    `shadow` the policy changes and refuses nothing.
    `unused`: the variables that nothing uses.
    """

    name: str
    description: str
    match: Match
    checks: Mapping[str, CheckSpec]
    rules: tuple[Rule, ...]
    on_error: OnError = "block"
    unmapped: Unmapped = "scan"
    opaque: frozenset[str] = frozenset()
    token_ids: Passes = "refuse"  # noqa: S105 - not a password
    fields: FieldRules = NO_FIELD_RULES
    share: int | None = None
    mode: Mode = "enforce"
    keep: Keep = "redacted"
    subject: str = "user"
    intent: Intent = "on"
    formats: tuple[DeclaredFormat, ...] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[PolicyTest, ...] = ()
    source: str = ""
    tenant: str = ""
    stands_for: frozenset[str] = frozenset()
    root: str = ""
    place: FilePlace = field(default=FilePlace(), compare=False)
    places: Mapping[str, FilePlace] = field(default_factory=dict, compare=False)
    unused: tuple[tuple[str, FilePlace], ...] = field(default=(), compare=False)

    @property
    def headers(self) -> frozenset[str]:
        """Returns the names of the headers that the policy reads."""
        naming = header_of(self.subject) if self.keep == "sealed" else ""
        return frozenset((*self.match.asks, *filter(None, (naming,))))

    @property
    def origin(self) -> str:
        return self.root or self.file

    @property
    def file(self) -> str:
        """Returns the name of the policy in its file, without a tenant."""
        return self.name.removesuffix(f"@{self.tenant}") if self.tenant else self.name

    def is_for(self, tenant: str | None) -> bool:
        """Whether the policy may apply to a tenant: a form for one tenant applies to no other."""
        return not self.tenant or lower_case(self.tenant) == lower_case(tenant or "")
