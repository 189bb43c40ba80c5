"""What a section of a policy file declares: how it is read, compared and merged, and what it says to the rest of the proxy.

A section is one file of this package. Everything that is not about a particular section asks the declaration: readers and
schemas, `extends` and `policy diff`, `policy lint` and `explain`, the settings that are needed, the record, and the exchange,
which runs its stages. Code that carries out one section asks it for its typed value: `JUDGE.of(policy.sections)`,
`JUDGE.bound(rules.sections)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from guardproxy.errors import DownstreamError
from guardproxy.findings import Direction, Kind
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.values.strictness import Order
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import FilePlace, YamlNode
from guardproxy.wire import RequestStatement

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class BoundSection(Generic[Value]):
    """A section of a policy that applies to a request. `enforced`: whether it is carried out; otherwise the policy is in shadow
    mode, or its share leaves the conversation out, and the section is only recorded."""

    policy: str
    value: Value
    enforced: bool


class SectionRequest(Protocol):
    """A request as the stages of sections see it."""

    @property
    def about(self) -> About:
        """Its facts."""

    @property
    def statement(self) -> RequestStatement:
        """What its fields say about it."""

    @property
    def names_model(self) -> bool:
        """Whether requests of its format name a model."""

    def refuse(self, section: str, bound: BoundSection[Any], error: DownstreamError) -> None:
        """Notes that a section refuses the request. Raises the error if the section is enforced."""


class SectionStage(Protocol):
    """What a section does with each request to which it applies, before a check reads the texts."""

    def amend(self, draft: SectionRequest) -> None:
        """Looks at the request. Raises `DownstreamError` to refuse it."""


@dataclass(frozen=True, slots=True)
class NeededUpstream:
    """An upstream that a section names. `why`: the beginning of the message if there is none of this `name`; `place`: where the
    policy names it, `None` for the key of the section. `gets_request`: whether the client's request goes there, not a request
    of the proxy's own. `may_be_second`: whether it may be asked after another one."""

    why: str
    name: str
    place: FilePlace | None = None
    gets_request: bool = True
    may_be_second: bool = False


@dataclass(frozen=True, slots=True)
class NeededTexts:
    """Texts without which a section does less than it says: some rule must read those of `direction`. `code`: of the note;
    `message(unless)`: its text. `unless`: names the policies that may read them, or is empty. `in_shadow`: whether a section in
    shadow mode, which is only recorded, needs them too. `kind`: of the texts; `None` if any text of the direction will do."""

    direction: Direction
    code: str
    message: Callable[[str], str]
    in_shadow: bool = False
    kind: Kind | None = None


def _unordered(old: Any, new: Any) -> Order:
    return "same" if old == new else "unclear"


def _nothing(*about: Any) -> tuple[()]:
    return ()


def _no_members(*about: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Section(Generic[Value]):
    """A section of a policy file. Only `name`, `doc`, `schema` and `read` are needed."""

    name: str
    """Its key in the file."""
    doc: str
    """Its description, for editors."""
    schema: Mapping[str, Any]
    """Its form as JSON Schema, for editors."""
    read: Callable[[FileReading, YamlNode], Value | None]
    """Returns its frozen value, or adds errors and returns `None`. Equal values mean the same section."""
    order: Callable[[Value, Value], Order] = _unordered
    """Compares the strength of an older or inherited value with that of the new one."""
    merge: Callable[[Sequence[Value]], Value | None] | None = None
    """Returns the strictest parts of several values. `None`: there is no such value."""
    stacks: bool = False
    """Whether a policy that extends another, or the overrides of a tenant, add to the section (`merge`) instead of stating it
    again as a whole."""
    explain: Callable[[Value], str] | None = None
    """Says in a few words what a value does with a request. `None`: what it does depends on more than its value."""
    needs: Callable[[Value], Iterable[NeededUpstream]] = _nothing
    """Returns the upstreams that a value names. An empty name is the request's own upstream."""
    lacks: Callable[[Value], Iterable[NeededTexts]] = _nothing
    """Returns the texts that some rule must read, for `policy lint`."""
    recorded: Callable[[Sequence[BoundSection[Value]], str], Mapping[str, Any]] = _no_members
    """Returns the members of the record of an answered exchange, given the sections that apply and the id of the exchange."""

    stages: Callable[[tuple[BoundSection[Value], ...]], Iterable[SectionStage]] = _nothing
    """Returns what the sections that apply do with each request. A section that needs parts of the exchange has its stages in
    `exchange/phases/stages.py`."""

    def of(self, sections: Mapping[str, Any]) -> Value | None:
        """Returns the value in the sections of a policy; `None` if it has none."""
        value: Value | None = sections.get(self.name)
        return value

    def bound(self, sections: Mapping[str, tuple[BoundSection[Any], ...]]) -> tuple[BoundSection[Value], ...]:
        """Returns the values in the sections of bound rules, in the order of the policies' names."""
        return sections.get(self.name, ())

    def read_layers(self, reading: FileReading, nodes: Sequence[YamlNode]) -> Value | None:
        """Returns the value of a policy. `nodes`: what each layer of its chain states, from the first baseline on."""
        if not self.stacks or self.merge is None:
            return self.read(reading, nodes[-1])
        values = [value for node in nodes if (value := self.read(reading, node)) is not None]
        return self.merge(values)
