"""The checks and rules that the section `tools` of a policy stands for.

In: the section. Out: a check of names and a rule that blocks, a check of arguments for each tool and a rule for all of them.
Their names are reserved for the section in a policy that has it."""

from __future__ import annotations

from collections.abc import Mapping

from guardproxy.findings import DIRECTIONS, Direction, Kind
from guardproxy.policy.conditions.expression import parse_expression
from guardproxy.policy.sections.tools import ToolsSection
from guardproxy.policy.values.document import CheckSpec, Rule
from guardproxy.policy.yaml.tree import FilePlace

NAMES = "tools"
ARGUMENTS = "tool-arguments"
_ON: frozenset[tuple[Direction, Kind]] = frozenset((direction, "tool_arguments") for direction in DIRECTIONS)
_NOT_ALLOWED = "the policy does not allow this call of a tool"


def checks_of(section: ToolsSection, place: FilePlace) -> Mapping[str, CheckSpec]:
    """Returns the checks, by name. `place`: of the section in the file."""
    checks = {NAMES: CheckSpec("tool_list", section.options, place=place)} if section.options else {}
    for number, options in enumerate(section.arguments, 1):
        checks[f"{ARGUMENTS}-{number}"] = CheckSpec("tool_call", options, place=place)
    return checks


def rules_of(section: ToolsSection, place: FilePlace) -> tuple[Rule, ...]:
    """Returns the rules."""
    checks = tuple(checks_of(section, place))
    message = section.message or _NOT_ALLOWED
    named = [(NAMES, (NAMES,))] if section.options else []
    arguments = tuple(name for name in checks if name != NAMES)
    groups = [*named, *([(ARGUMENTS, arguments)] if arguments else [])]
    return tuple(
        Rule(rule, _ON, parse_expression(" or ".join(names), checks), "block", message=message, place=place)
        for rule, names in groups
    )
