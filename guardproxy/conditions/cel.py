"""Compiles conditions in CEL over a declared set of names: `match` of policies, and `when` of the check `tool_call`.

In: the text of an expression, and the names that it can use. Out: a compiled expression, whose value is asked for given values
of the names; a `CelError` with the column of each error. The library (`cel-expr-python`, the C++ implementation by the authors
of the language) is imported only if a policy has an expression. It knows the types of all names, so an expression that cannot
be evaluated is refused when policies are loaded. There is one environment of the library for each set of names.

An expression is refused if it could be slow: patterns that are not literals, nested quantifiers, `dyn`. Its values must not
grow either: few texts and lists are joined, few lists are made of others, and `map` makes no text of the facts of the request.
The language has no clock, no randomness and no loops.

Decision: docs/decisions/0023-cel-is-evaluated-by-its-c-library.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any

import re2

from guardproxy.conditions.canonical_names import lower_case

LIMIT_CHARS = 2000
LIMIT_JOINS = 8  # `+` in an expression: each may double a text or a list
LIMIT_LISTS = 3  # macros that make a list, with one `+` beside them
LIMIT_ITEMS = 512  # of the lists that these read: the library copies the list that it makes for each item

FUNCTIONS = (
    *("all", "contains", "endsWith", "exists", "exists_one", "filter", "has", "int", "map", "matches", "size"),
    *("startsWith", "string", "double", "uint", "bool", "timestamp", "duration"),
)

_MACROS = ("all", "exists", "exists_one", "map", "filter")
_LIST_MACROS = ("map", "filter")
_TOKEN = re.compile(
    r"""(?P<text>[bB]?[rR]?(?:'''(?:\\.|[^\\])*?'''|\"{3}(?:\\.|[^\\])*?\"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))"""
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z.]*)|(?P<mark>&&|\|\||[=!<>]=|\S)|\s+",
    re.DOTALL,
)
_MISTAKE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_TYPES = {
    **{"string": "a text", "int": "a whole number", "uint": "a whole number without sign", "bool": "true or false"},
    **{
        "double": "a number with a fraction",
        "null_type": "null",
        "bytes": "bytes",
        "type": "a type",
        "list": "a list",
        "map": "a mapping",
    },
}
_QUIET = re2.Options()
_QUIET.log_errors = False
_INSTEAD = {"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "AND": "&&", "OR": "||"}


class CelError(Exception):
    """An error in an expression. `line` and `column`: its place in the text, from 1."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class CelFunction:
    """A function that expressions over some names can call; it returns whether something holds. `overloads`: the types of its
    arguments, for each kind of value that it takes. `call`: gets the arguments as Python values."""

    name: str
    overloads: tuple[tuple[str, ...], ...]
    call: Callable[..., bool] = field(compare=False)


@dataclass(frozen=True, slots=True)
class CelNames:
    """What an expression can use. `types`: the names, with the words for their types in the library. `optional`: the names
    whose members may be missing, so that `has` makes sense for them; `has_words`: which they are, for messages. `functions`:
    further functions."""

    types: tuple[tuple[str, str], ...]
    optional: tuple[str, ...]
    has_words: str
    functions: tuple[CelFunction, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The names."""
        return tuple(name for name, _ in self.types)

    @property
    def roots(self) -> frozenset[str]:
        """The first words of the names."""
        return frozenset(name.partition(".")[0] for name in self.known)


@dataclass(frozen=True, slots=True)
class CelExpression:
    """A compiled expression that holds or not. `names`: those that it uses. `makes_lists`: whether it makes a list of another
    list; then it must not be evaluated for a long one. `_normal`: the same expression with lower-case string literals, for
    values in normal form."""

    text: str
    over: CelNames = field(repr=False)
    names: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    makes_lists: bool = field(default=False, compare=False, repr=False)
    _compiled: Any = field(default=None, compare=False, repr=False)
    _normal: Any = field(default=None, compare=False, repr=False)

    def holds(self, values: Mapping[str, Any], *, normal: bool = False) -> bool | None:
        """Whether the expression holds for these values of its names; `None` if it cannot be evaluated for them. `normal`:
        whether they are in normal form."""
        try:
            activation = _environment(self.over).Activation(values)
            value = (self._normal if normal else self._compiled).eval(activation).plain_value()
        except (RuntimeError, ValueError, TypeError):  # the library rejects a lone surrogate
            return None
        return value if isinstance(value, bool) else None


@cache
def _environment(names: CelNames) -> Any:
    from cel_expr_python import cel  # noqa: PLC0415 - loaded only where a policy asks for it

    of = cel.Type
    types = {"STRING": of.STRING, "BOOL": of.BOOL, "INT": of.INT, "DOUBLE": of.DOUBLE, "DYN": of.DYN}
    types |= {"LIST": of.List(of.STRING), "MAP": of.Map(of.STRING, of.STRING)}
    types |= {"VALUES": of.List(of.DYN), "MEMBERS": of.Map(of.STRING, of.DYN), "NULL": of.NULL}
    declared, calls = [], {}
    for function in names.functions:
        overloads = []
        for number, kinds in enumerate(function.overloads):
            ident = f"{function.name}_{number}"
            overloads.append(cel.Overload(ident, of.BOOL, [types[kind] for kind in kinds]))
            calls[ident] = function.call
        declared.append(cel.FunctionDecl(function.name, overloads))
    variables = {name: types[kind] for name, kind in names.types}
    return cel.NewEnv(variables=variables, functions=declared, function_impls=calls)


MoreErrors = Callable[[list["Token"]], Iterator[tuple[str, int]]]
"""Yields further errors in an expression, each with its offset."""


def no_more_errors(tokens: list[Token]) -> Iterator[tuple[str, int]]:
    """Yields nothing."""
    return iter(())


def compile_expression(text: str, names: CelNames, more_errors: MoreErrors = no_more_errors) -> CelExpression:
    """Compiles `text`. Raises an `ExceptionGroup` of `CelError` with every error."""
    if len(text) > LIMIT_CHARS:
        raise _group([CelError(f"longer than {LIMIT_CHARS} characters; write several policies")])
    tokens = list(tokens_of(text))
    try:
        compiled = _environment(names).compile(text)
    except RuntimeError as error:
        raise _group(list(_mistakes(str(error), text, tokens, names))) from None
    if wrong := [*_unbounded(tokens, names), *_growing(tokens, names), *more_errors(tokens)]:
        raise _group([_error(message, text, at) for message, at in wrong])
    if (kind := compiled.return_type().name()) != "BOOL":
        type_name = _TYPES.get(kind.lower(), f"a {kind.partition('<')[0].lower()}")
        raise _group(
            [CelError(f"expected a condition that holds or not, found {type_name}; compare it with something")]
        )
    lower = _in_lower_case(text, tokens)
    normal = _environment(names).compile(lower) if lower != text else compiled
    used = frozenset(_names(tokens, names))
    return CelExpression(text, names, used, bool(_list_macros(tokens)), compiled, normal)


def _list_macros(tokens: list[Token]) -> list[Token]:
    """Returns the macros of an expression that make a list."""
    return [token for number, token in enumerate(tokens) if token.text in _LIST_MACROS and _is_macro(tokens, number)]


def _names(tokens: list[Token], names: CelNames) -> Iterator[str]:
    """Yields the names that an expression uses."""
    for first, dot, last in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if dot.text == "." and f"{first.text}.{last.text}" in names.known:
            yield f"{first.text}.{last.text}"


def _in_lower_case(text: str, tokens: list[Token]) -> str:
    """Returns the expression with string literals in the normal form of names and with patterns that ignore case. A
    literal with an escape stays unchanged."""
    out, at = "", 0
    for number, token in enumerate(tokens):
        if token.kind != "text" or token.text[0] in "bB":
            continue
        before = [previous.text for previous in tokens[max(0, number - 2) : number]]
        quote = 1 + (token.text[0] in "rR")
        quote += 2 * (token.text[quote - 1 : quote + 2] in ("'''", '"""'))
        ends = 3 if quote > 2 else 1
        head, inner, tail = token.text[:quote], token.text[quote:-ends], token.text[-ends:]
        if before == ["matches", "("]:
            inner = f"(?i){inner}"
        elif "\\" not in inner:
            inner = lower_case(inner)
        out += text[at : token.at] + head + inner + tail
        at = token.at + len(token.text)
    return out + text[at:]


def _group(errors: list[CelError]) -> ExceptionGroup[CelError]:
    return ExceptionGroup("errors in an expression", errors)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an expression. `kind`: text, word, number or mark; `at`: the offset in the expression."""

    kind: str
    text: str
    at: int


def tokens_of(text: str) -> Iterator[Token]:
    """Yields the tokens of an expression, without white space and comments."""
    at = 0
    while at < len(text):
        # a comment goes to the end of its line
        match = re.compile(r"//[^\n]*").match(text, at) or _TOKEN.match(text, at)
        assert match is not None  # noqa: S101 - any character is a mark
        if match.lastgroup:
            yield Token(match.lastgroup, match[0], at)
        at = match.end()


def _error(message: str, text: str, at: int) -> CelError:
    return CelError(message, line=text.count("\n", 0, at) + 1, column=at - text.rfind("\n", 0, at))


def literal(token: Token) -> str:
    """Returns the value of a string literal. Of its escapes, only the backslash is removed."""
    raw = token.text.lstrip("bBrR")
    size = 3 if raw.startswith(("'''", '"""')) else 1
    inner = raw[size:-size]
    return inner if token.text[0] in "rR" else re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL)


# Errors that the library finds.


def _mistakes(report: str, text: str, tokens: list[Token], names: CelNames) -> Iterator[CelError]:
    mistakes = [(int(match[1]), int(match[2]), match[3]) for match in _MISTAKE.finditer(report)]
    if not mistakes:
        inside = "nested more than 32 levels deep" if "recursion" in report else report.partition("\n")[0]
        yield CelError(inside)
    first_syntax = next((mistake for mistake in mistakes if mistake[2].startswith("Syntax error")), None)
    reported: set[int] = set()
    for line, column, message in [first_syntax] if first_syntax else mistakes:
        if line in reported and "cannot be the range" in message:
            continue  # a consequence of the previous mistake
        reported.add(line)
        start = sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1
        yield _mistake(message.removesuffix(" [INVALID_ARGUMENT]"), text, tokens, start, names)


def _mistake(message: str, text: str, tokens: list[Token], at: int, names: CelNames) -> CelError:
    if unknown := re.match(r"undeclared reference to '([^']*)'", message):
        return _unknown(unknown[1], text, at, names)
    if overload := re.match(r"found no matching overload for '([^']*)' applied to '(.*)'", message):
        name = overload[1].replace("_", "").replace("@", "") or overload[1]
        kinds = re.findall(r"[a-z_]+(?=[(,]|$)(?![^(]*\))", overload[2].removeprefix("(").removesuffix(")"))
        what = " and ".join(_TYPES.get(kind, kind) for kind in kinds)
        return _error(f"`{name}` cannot be used with {what}", text, at)
    if not message.startswith("Syntax error"):
        return _error(message, text, at)
    token = next((candidate for candidate in tokens if at < candidate.at + len(candidate.text)), None)
    if token is None:
        return _error("the expression is incomplete", text, at)
    before = next((previous for previous in reversed(tokens) if previous.at + len(previous.text) <= token.at), token)
    for suspect in (token, before):
        if (instead := _INSTEAD.get(suspect.text)) and suspect.kind != "text":
            return _error(f"`{suspect.text}` is not CEL; write `{instead}`", text, suspect.at)
    if token.text in "'\"":
        return _error("a text without its closing quote", text, token.at)
    return _error(f"not CEL from `{token.text}` on", text, token.at)


def _unknown(name: str, text: str, at: int, names: CelNames) -> CelError:
    first, dot, last = name.rpartition(".")
    if dot and text[:at].endswith(first):
        at -= len(first)
    elif (
        not dot and text[at : at + 1] == "(" and text[:at].endswith(name)
    ):  # the library gives the place of the parenthesis
        at -= len(name)
        if name in FUNCTIONS:
            how = f'; write `x.{name}(t, t == "a")`' if name in _MACROS else ""
            return _error(f"wrong arguments for `{name}`{how}", text, at)
        functions = (*FUNCTIONS, *(function.name for function in names.functions))
        near = get_close_matches(name, functions, 1) or [
            function for function in functions if function.lower() == name.lower()
        ]
        return _error(f"unknown function `{name}`{_hint(near, functions)}", text, at)
    near = [full_name for full_name in names.known if full_name.rpartition(".")[2] == last] if not dot else []
    near = near or get_close_matches(name, names.known, 1)
    return _error(f"unknown name `{name}`{_hint(near, names.known)}", text, at)


def _hint(near: list[str], known: tuple[str, ...]) -> str:
    return f"; did you mean `{near[0]}`?" if near else f" (known: {', '.join(known)})"


# Expressions that the library accepts and this proxy refuses.


def _unbounded(tokens: list[Token], names: CelNames) -> Iterator[tuple[str, int]]:
    quantifiers: list[int] = []  # the depth of parentheses at which each quantifier began
    depth = 0
    for number, token in enumerate(tokens):
        after = tokens[number + 1 : number + 3]
        called = bool(after) and after[0].text == "("
        if token.text == ")":
            depth -= 1
            quantifiers = [quantifier for quantifier in quantifiers if quantifier <= depth]
        elif token.text == "(":
            depth += 1
        if token.kind != "word" or not called:
            continue
        if token.text == "dyn":
            yield "`dyn` is not available: it hides errors until a request comes", token.at
        elif token.text == "has":
            if "".join(following.text for following in tokens[number + 2 : number + 5]) not in names.optional:
                yield f"`has` is for {names.has_words}; all other facts always exist", token.at
        # Only the pattern of a literal can be compiled, and refused, before the first request.
        elif token.text == "matches":
            if len(after) < 2 or after[1].kind != "text" or tokens[number + 3].text != ")":
                yield "the pattern of `matches` must be a literal in quotes", token.at
            elif wrong := _pattern(after[1]):
                yield f"not a pattern of RE2: {wrong}", after[1].at
        elif token.text in _MACROS and number and tokens[number - 1].text == ".":
            if quantifiers:
                yield f"`{token.text}` inside another quantifier takes too long on a long list", token.at
            quantifiers.append(depth + 1)


def _growing(tokens: list[Token], names: CelNames) -> Iterator[tuple[str, int]]:
    """Yields errors in expressions whose values could grow large: the library has no limit of its own for them."""
    lists, joins = _list_macros(tokens), [token for token in tokens if token.kind == "mark" and token.text == "+"]
    limit = 1 if lists else LIMIT_JOINS
    if len(joins) > limit:
        beside = " beside `map` or `filter`" if lists else ""
        yield f"more than {limit} `+`{beside}: a long text or list would grow with each", joins[limit].at
    if len(lists) > LIMIT_LISTS:
        yield f"more than {LIMIT_LISTS} of `map` and `filter`: each makes another list", lists[LIMIT_LISTS].at
    depth, maps = 0, list[int]()  # the depth of parentheses at which each `map` began
    for number, token in enumerate(tokens):
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
            maps = [start for start in maps if start <= depth]
        elif maps and (token.text in ("[", "{") or token.text in names.roots):
            yield "`map` makes a text, a number or a condition of its item and of constants only", token.at
            return
        elif token.text == "map" and _is_macro(tokens, number):
            maps.append(depth + 1)


def _is_macro(tokens: list[Token], number: int) -> bool:
    """Whether the word at an index is called as a macro of a list."""
    return 0 < number < len(tokens) - 1 and tokens[number - 1].text == "." and tokens[number + 1].text == "("


def _pattern(token: Token) -> str:
    try:
        re2.compile(literal(token), _QUIET)
    except re2.error as error:
        return str(error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error)
    return ""
