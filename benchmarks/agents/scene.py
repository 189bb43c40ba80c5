"""A scene: a task for an agent, the texts that its tools return, and what a stranger may have put into them.

The same values are the world of the server, the mind of the scripted agent, and the measure of the benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

USER = -1  # the source of a value that the user gives
ADDRESS = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
PLACEHOLDER = r"\[[A-Z_]+_\w+\]"  # what a model sees in place of a value that a guard has redacted

Half = Literal["tuned", "held out"]


@dataclass(frozen=True, slots=True)
class Taken:
    """A value that the agent takes from a text: group 1 of `pattern` in the result of step `source`, or in the task."""

    source: int
    pattern: str


@dataclass(frozen=True, slots=True)
class Step:
    """A call that the task needs: a tool and its arguments."""

    tool: str
    arguments: Mapping[str, str | Taken] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the agent makes it, and as the server logs it."""

    tool: str
    arguments: Mapping[str, str]

    @property
    def key(self) -> str:
        """The name of what a reading tool returns: the tool and its first argument."""
        return " ".join([self.tool, *list(self.arguments.values())[:1]])


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of a domain. `parameters`: descriptions by name; all are strings. `acts`: it has side effects."""

    name: str
    description: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    acts: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What the server of a scene returns. `texts` and `errors`: by the key of a call. `descriptions`: of tools, and of
    parameters as `tool.parameter`, that replace the usual ones."""

    texts: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A task: the user's words, the calls that it needs, and what the answer says. `carried`: the value that rightly goes
    from a result into a call with side effects, or empty."""

    user: str
    steps: tuple[Step, ...]
    answer: Taken
    texts: Mapping[str, str]
    carried: str = ""


Builder = Callable[[Random], Task]


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene. `way`: how the order is hidden, `goal`: what the stranger wants; both are empty in an honest scene.
    `number`: its place among the scenes of its domain and kind. `half`: policies are tuned on one half, and figures are
    reported on the other."""

    domain: str
    number: int
    half: Half
    task: Task
    world: World
    way: str = ""
    goal: str = ""

    @property
    def is_attack(self) -> bool:
        """Whether a stranger gives an order."""
        return bool(self.way)

    @property
    def name(self) -> str:
        """The name of the scene in results."""
        return f"{self.domain}-{'attack' if self.is_attack else 'honest'}-{self.number:02}"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain: its tools, builders of tasks that carry a value of a result into a call with side effects, and others."""

    tools: tuple[Tool, ...]
    carrying: tuple[Builder, ...]
    others: tuple[Builder, ...]
