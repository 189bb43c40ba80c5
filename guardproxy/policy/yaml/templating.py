"""Templates of system prompts: a small part of Jinja, whose result has a bounded size and depends on declared values only.

In: the source of a template, then the values of a request. Out: a compiled template, or a `TemplateError` with the line; then a
text. The library (`jinja2`, extra `templates`) is imported only if a policy has a template.

A template has texts, values, `if`, comparisons of texts and a few filters. It has no loops, no variables of its own, no
attributes and no calls, so rendering cannot fail, and the size of the result is linear in that of the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guardproxy.policy.yaml.reading import did_you_mean, join

NAMES = ("system", "tenant", "route", "model")
"""The values: the client's own system prompt, the name of the tenant, the route, the model that the request names."""
FILTERS = ("lower", "upper", "trim", "title", "capitalize")
LIMIT_USES = 4
"""How often a template may use `system`, whose size the client chooses."""
LIMIT_VALUE = 200
"""The characters of every other value that a template shows."""
_NODES = frozenset(
    (
        *("Template", "Output", "TemplateData", "Name", "Const", "If", "CondExpr", "Compare", "Operand"),
        *("And", "Or", "Not", "Concat", "Filter"),
    )
)
_OPERATORS = frozenset(("eq", "ne", "in", "notin"))


class TemplateError(ValueError):
    """A template that cannot be used. `line`: the line of the error in the template, from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A compiled template. Templates with the same source are equal."""

    source: str
    _compiled: Any = field(compare=False, repr=False)

    def render(self, values: Mapping[str, str]) -> str:
        """Returns the text, without spaces around it. `values`: a value for each of `NAMES`."""
        shown = {name: value if name == "system" else value[:LIMIT_VALUE] for name, value in values.items()}
        return str(self._compiled.render(shown)).strip()


def compile_template(source: str) -> PromptTemplate:
    """Compiles a template. Raises `TemplateError`, and `ImportError` if the library is not installed."""
    import jinja2  # noqa: PLC0415
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        tree = environment.parse(source)
        _examine(tree)
        return PromptTemplate(source, environment.from_string(tree))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(str(error.message), error.lineno) from None
    except (RecursionError, SyntaxError, MemoryError):  # of the parser of Jinja or of Python
        raise TemplateError("it is nested too deeply", 1) from None


def _examine(tree: Any) -> None:
    """Raises `TemplateError` for a part of Jinja that templates may not have."""
    from jinja2.nodes import Node  # noqa: PLC0415

    uses, line = 0, 1
    for node in tree.find_all(Node):
        kind, line = type(node).__name__, node.lineno or line  # an operand has no line of its own
        if kind not in _NODES:
            raise TemplateError(f"a template cannot have the part `{kind}` of Jinja", line)
        if kind == "Name" and node.name not in NAMES:
            near = did_you_mean(node.name, NAMES)
            raise TemplateError(f"unknown value `{node.name}`{near} (known: {join(NAMES)})", line)
        if kind == "Filter" and (node.name not in FILTERS or node.args or node.kwargs):
            raise TemplateError(f"a filter is one of {join(FILTERS)}, without arguments", line)
        if kind == "Operand" and node.op not in _OPERATORS:
            raise TemplateError("values are compared by ==, !=, in and not in", line)
        if kind == "Const" and not isinstance(node.value, str):
            raise TemplateError("a constant is a text between quotes", line)
        uses += kind == "Name" and node.name == "system"
    if uses > LIMIT_USES:
        raise TemplateError(f"a template uses `system` at most {LIMIT_USES} times", 1)
