"""The sections `allow` and `deny`: which models a request may name.

Both look at every name of a model in a request, wherever its format has one: fallbacks, models of tools, the path. They err on
the side of refusing. `allow` compares whole names, so a provider or a fine-tuned model with another name is another model;
`deny` also compares what stands between the separators of a name, as `match` does. What a request does not say clearly is
refused. Several lists all count, whether of the layers of a policy or of several policies: a model must be on each list of
`allow` and on none of `deny`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.conditions import fits
from guardproxy.conditions.canonical_names import fold, model_readings
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.policy.sections.section import BoundSection, Section, SectionRequest
from guardproxy.policy.values.strictness import Order
from guardproxy.policy.yaml.reading import FileReading, join
from guardproxy.policy.yaml.tree import YamlNode
from guardproxy.wire import RequestStatement

_FIELD = "model"
_PREFIX = "models/"  # of the full names of Gemini's API
_WANTED = "a mapping like `{models: [gpt-5-mini]}`"
_UNCLEAR = "the request does not say clearly which model it means"


@dataclass(frozen=True, slots=True)
class ModelList:
    """A list of a policy. `globs`: of names of models. `message`: what the client of a refused request gets; empty: the
    message says which model is refused."""

    globs: tuple[str, ...]
    message: str = ""


ModelLists = tuple[ModelList, ...]


def _read(reading: FileReading, node: YamlNode) -> ModelLists | None:
    before = len(reading.errors)
    keys = reading.entries(node, _WANTED, ("models", "message"), ("models",))
    globs = reading.words(keys["models"], "a list of models") if "models" in keys else ()
    if "models" in keys and keys["models"].value == ():
        reading.fail(keys["models"].place, "an empty list names no model; leave the section out")
    message = reading.word(keys.get("message"), "a text, written as words")
    return (ModelList(globs, message or ""),) if len(reading.errors) == before else None


def _merge(values: Sequence[ModelLists]) -> ModelLists:
    """Returns all lists, each once."""
    return tuple(dict.fromkeys(part for lists in values for part in lists))


Fault = tuple[str, str]
"""Why a list refuses a request, and the field at fault."""


def _allow_fault(globs: tuple[str, ...], names: Sequence[str], statement: RequestStatement) -> Fault | None:
    """Returns why a list of `allow` refuses a request that names these models; `None` if it does not."""
    if "*" in globs:
        return None
    if not names or _FIELD in statement.unclear:
        return _UNCLEAR, _FIELD
    if (other := next((name for name in names if not _is_listed(name, globs)), None)) is not None:
        return _refusal(other), _FIELD
    if statement.foreign:  # a server could read the name of a model there
        message = (
            f"the policy allows certain models, and `{statement.foreign}` is a field of no known meaning: leave it out"
        )
        return message, statement.foreign
    return None


def _deny_fault(globs: tuple[str, ...], names: Sequence[str], statement: RequestStatement) -> Fault | None:
    """Returns why a list of `deny` refuses a request that names these models; `None` if it does not."""
    if not names or _FIELD in statement.unclear:
        return _UNCLEAR, _FIELD
    for name in names:
        readings = model_readings(name)
        if readings is None or fits(globs, (name, *readings)):  # a name that cannot be read may be any model
            return _refusal(name), _FIELD
    return None


def _refusal(name: str) -> str:
    """Returns the message about a model. It shows a name only if that is short and has the signs of names of models."""
    return "the policy does not allow the model" + ("" if model_readings(name) is None else f" `{name}`")


def _is_listed(name: str, globs: tuple[str, ...]) -> bool:
    """Whether a whole name is on a list. A name that servers may read differently is only if the list has it as it is."""
    if name in globs:
        return True
    is_plain = model_readings(name) is not None and ".." not in name and fold(name) == name.lower()
    return is_plain and fits(globs, (name, name.lower()))


def _allow_order(old: ModelLists, new: ModelLists) -> Order:
    return _order(_lets_less_pass(old, new), _lets_less_pass(new, old))


def _deny_order(old: ModelLists, new: ModelLists) -> Order:
    was, now = ({glob for part in lists for glob in part.globs} for lists in (old, new))
    return _order(was <= now, now <= was)


def _lets_less_pass(old: ModelLists, new: ModelLists) -> bool:
    """Whether each of the old lists of `allow` has a new one with no other globs."""
    return all(any(set(part.globs) <= set(before.globs) for part in new) for before in old)


def _order(is_at_least_as_strict: bool, is_at_most_as_strict: bool) -> Order:
    if is_at_least_as_strict:
        return "same" if is_at_most_as_strict else "tighter"
    return "looser" if is_at_most_as_strict else "unclear"


@dataclass(frozen=True, slots=True)
class _ModelStage:
    """Refuses requests for other models. `section`: its name. `fault`: returns why a list refuses a request."""

    section: str
    sections: tuple[BoundSection[ModelLists], ...]
    fault: Callable[[tuple[str, ...], Sequence[str], RequestStatement], Fault | None]

    def amend(self, draft: SectionRequest) -> None:
        if not draft.names_model:  # it asks a server of tools
            return
        names = [name.removeprefix(_PREFIX) for name in draft.about.named_models]
        for bound in self.sections:
            faults = ((part, self.fault(part.globs, names, draft.statement)) for part in bound.value)
            if found := next(((part, fault) for part, fault in faults if fault), None):
                part, (message, field) = found
                draft.refuse(
                    self.section, bound, DownstreamError(ErrorCode.MODEL_NOT_ALLOWED, part.message or message, field)
                )


def _allow_stages(sections: tuple[BoundSection[ModelLists], ...]) -> Iterator[_ModelStage]:
    if sections:
        yield _ModelStage(ALLOW.name, sections, _allow_fault)


def _deny_stages(sections: tuple[BoundSection[ModelLists], ...]) -> Iterator[_ModelStage]:
    if sections:
        yield _ModelStage(DENY.name, sections, _deny_fault)


def _only(lists: ModelLists) -> str:
    return "only the models " + ", and of these ".join(join(part.globs) for part in lists)


def _not(lists: ModelLists) -> str:
    return f"none of the models {join([glob for part in lists for glob in part.globs])}"


_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["models"],
    "properties": {
        "models": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
            "description": "Globs of names of models.",
        },
        "message": {
            "type": "string",
            "minLength": 1,
            "description": "The message for the client. Default: which model is refused.",
        },
    },
}
ALLOW: Section[ModelLists] = Section(
    "allow",
    "The only models that a request may name.",
    _SCHEMA,
    _read,
    order=_allow_order,
    merge=_merge,
    stacks=True,
    explain=_only,
    stages=_allow_stages,
)
DENY: Section[ModelLists] = Section(
    "deny",
    "Models that a request may not name.",
    _SCHEMA,
    _read,
    order=_deny_order,
    merge=_merge,
    stacks=True,
    explain=_not,
    stages=_deny_stages,
)
