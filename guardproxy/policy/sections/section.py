"""What a section of a policy file declares, and the value that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guardproxy.policy.reading import FileReading
from guardproxy.policy.tree import YamlNode


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a policy file.

    `name`: its key. `doc`: its description, and `schema`: its form as JSON Schema, for editors. `read`: returns its frozen
    value, or adds errors and returns `None`. Equal values mean the same section.
    """

    name: str
    doc: str
    schema: Mapping[str, Any]
    read: Callable[[FileReading, YamlNode], Any]


@dataclass(frozen=True, slots=True)
class BoundSection:
    """A section of a policy that applies to a request. `enforced`: whether it is carried out; otherwise the policy is in shadow
    mode, or its share leaves the conversation out, and the section is only recorded."""

    policy: str
    value: Any
    enforced: bool
