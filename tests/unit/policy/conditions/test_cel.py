"""Conditions in CEL: what they mean, what each mistake is told, and what is refused though the language allows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.conditions.cel import LIMIT_CHARS, LIMIT_ITEMS, LIMIT_JOINS, LIMIT_LISTS
from guardproxy.policy.conditions.cel import Cel, CelError, compile_cel
from guardproxy.policy.conditions.request_context import About

ABOUT = About(
    route="POST /v1/messages",
    model="gpt-5-mini",
    tenant="acme",
    headers={"x-team": "red", "version": "2"},
    stream=True,
    max_tokens=100,
    messages=3,
    tools=("shell", "web"),
)


def mistakes(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(ExceptionGroup) as caught:
        compile_cel(text)
    return [(one.line, one.column, one.message) for one in caught.value.exceptions if isinstance(one, CelError)]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('request.route == "POST /v1/messages"', True),
        ('request.method == "POST" && request.path == "/v1/messages"', True),
        ('request.model.startsWith("gpt-") && !request.model.endsWith("-nano")', True),
        ('request.model.contains("5") || false', True),
        ('request.model in ["gpt-4", "gpt-5-mini"]', True),
        (r'request.model == "gpt-5\u002dmini"', True),
        ('request.model.matches("^gpt-[0-9]")', True),
        (r'request.model.matches(r"\d\d")', False),
        ("request.stream", True),
        ("request.max_tokens > 50 && request.messages <= 3", True),
        ('request.tools.exists(t, t == "shell")', True),
        ('request.tools.all(t, t != "shell") || size(request.tools) == 2', True),
        ('request.headers["x-team"] == "red"', True),
        ('"x-team" in request.headers && has(request.headers.version)', True),
        ('tenant.name != "acme" // a comment with a dyn( in it', False),
        ('request.headers["x-other"] == "red"', None),
        ('!("x-other" in request.headers) || request.headers["x-other"] == "red"', True),
        ("1 / (request.messages - 3) == 1", None),
    ],
)
def test_a_condition_holds_or_not_or_cannot_be_evaluated(text: str, holds: bool | None) -> None:
    assert compile_cel(text).holds(ABOUT) is holds


def test_the_headers_that_are_asked_for_are_known() -> None:
    assert compile_cel('"b" in request.headers && request.headers["a"] == "" || has(request.headers.c)').headers == (
        *("a", "b", "c"),
    )
    assert compile_cel("true").headers == ()


def test_conditions_are_equal_by_their_text() -> None:
    assert compile_cel("true") == Cel("true")


def test_what_the_library_cannot_take_as_a_text_cannot_be_evaluated() -> None:
    assert compile_cel('request.model == "x"').holds(About(model="\ud800")) is None


def test_absent_facts_have_their_zero() -> None:
    text = 'request.model == "" && request.max_tokens == 0 && size(request.tools) == 0 && !("a" in request.headers)'
    assert compile_cel(text).holds(About(headers=None)) is True


KNOWN = (
    "request.route, request.method, request.path, request.model, request.stream, request.max_tokens, request.messages, "
    "request.tools, request.server, request.operation, request.headers, tenant.name"
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", [(1, 1, "the expression is incomplete")]),
        ("request.model", [(1, 1, "expected a condition that holds or not, found a text; compare it with something")]),
        ("request.tools", [(1, 1, "expected a condition that holds or not, found a list; compare it with something")]),
        ('request.modle == "a"', [(1, 1, "unknown name `request.modle`; did you mean `request.model`?")]),
        ('model == "a"', [(1, 1, "unknown name `model`; did you mean `request.model`?")]),
        ("true &&\n  tenant.nam == 'a'", [(2, 3, "unknown name `tenant.nam`; did you mean `tenant.name`?")]),
        ("zzz == 1", [(1, 1, f"unknown name `zzz` (known: {KNOWN})")]),
        ("nope.nope == 1", [(1, 1, f"unknown name `nope.nope` (known: {KNOWN})")]),
        ("tools.exists(t, t == 'a')", [(1, 1, "unknown name `tools`; did you mean `request.tools`?")]),
        ('request.model.startwith("a")', [(1, 15, "unknown function `startwith`; did you mean `startsWith`?")]),
        (
            'request.model.startsWith("a", "b")',
            [(1, 15, "wrong arguments for `startsWith`")],
        ),
        ("request.model == 3", [(1, 15, "`==` cannot be used with a text and a whole number")]),
        ('"a" in request.model', [(1, 5, "`in` cannot be used with a text and a text")]),
        ("request.model > 1.5", [(1, 15, "`>` cannot be used with a text and a number with a fraction")]),
        ("request.model == [1]", [(1, 15, "`==` cannot be used with a text and a list")]),
        ('request.model = "a"', [(1, 15, "`=` is not CEL; write `==`")]),
        ("request.stream and true", [(1, 16, "`and` is not CEL; write `&&`")]),
        ("not request.stream", [(1, 1, "`not` is not CEL; write `!`")]),
        ("request.stream | true", [(1, 16, "`|` is not CEL; write `||`")]),
        ("request.stream)", [(1, 15, "not CEL from `)` on")]),
        ("(request.stream", [(1, 16, "the expression is incomplete")]),
        (
            "request.model.exists(t, t == 'a')",
            [
                (
                    *(1, 8),
                    "expression of type 'string' cannot be the range of a comprehension (must be list, map, or dynamic)",
                )
            ],
        ),
        ('tenant.name == "and', [(1, 16, "a text without its closing quote")]),
        ('"and" tenant.name', [(1, 7, "not CEL from `tenant` on")]),
        ("(" * 40 + "true" + ")" * 40, [(1, 1, "nested more than 32 levels deep")]),
        ("true" + " " * LIMIT_CHARS, [(1, 1, "longer than 2000 characters; write several policies")]),
        ("dyn(1) == 1", [(1, 1, "`dyn` is not available: it hides errors until a request comes")]),
        (
            "has(request.model)",
            [(1, 1, "`has` is for headers, like `has(request.headers.team)`; all other facts always exist")],
        ),
        (
            "request.model.matches(tenant.name)",
            [(1, 15, "the pattern of `matches` must be a literal in quotes")],
        ),
        (
            'request.model.matches("a" + "b")',
            [(1, 15, "the pattern of `matches` must be a literal in quotes")],
        ),
        ('request.model.matches("(")', [(1, 23, "not a pattern of RE2: missing ): (")]),
        (
            "request.tools.exists(a, request.tools.all(b, a == b))",
            [(1, 39, "`all` inside another quantifier takes too long on a long list")],
        ),
        ('request.headers["X-Team"] == "a"', [(1, 17, "write names of headers in lower case: `x-team`")]),
        ('"Cookie" in request.headers', [(1, 1, "`cookie` holds a credential; tell clients apart by `tenant.name`")]),
        (
            "request.headers.size() > 1",
            [(1, 1, 'name the header, like `request.headers["x-team"]` or `"x-team" in request.headers`')],
        ),
        (
            "tenant.name in request.headers",
            [(1, 16, 'name the header, like `request.headers["x-team"]` or `"x-team" in request.headers`')],
        ),
        (
            "request.headers",
            [(1, 1, 'name the header, like `request.headers["x-team"]` or `"x-team" in request.headers`')],
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, wrong: list[tuple[int, int, str]]) -> None:
    assert mistakes(text) == wrong


def test_quantifiers_one_after_the_other_are_fine() -> None:
    text = 'request.tools.exists(a, (a == "web")) && request.tools.all(b, b != "x") && (size(request.tools) > 0)'
    assert compile_cel(text).holds(ABOUT)


def test_several_mistakes_come_at_once() -> None:
    assert [(line, column) for line, column, _ in mistakes("foo == 1 ||\nbar == 2")] == [(1, 1), (2, 1)]


def test_what_follows_from_a_mistake_is_not_said() -> None:
    assert len(mistakes("tools.exists(t, t == 'a')")) == 1


@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused_with_places(text: str) -> None:
    try:
        compile_cel(text)
    except ExceptionGroup as group:
        for error in group.exceptions:
            assert isinstance(error, CelError)
            assert error.line >= 1
            assert error.column >= 1


WORDS = st.sampled_from(
    [
        *(
            "request.model",
            "tenant.name",
            "==",
            '"a"',
            "&&",
            "||",
            "!",
            "(",
            ")",
            "in",
            "[",
            "]",
            "request.headers",
            "dyn",
        ),
        *(
            ".exists(t, t == ",
            "has",
            "matches",
            ".",
            "request",
            "headers",
            "size",
            "1",
            "request.tools",
            "and",
            "=",
            "'",
        ),
    ]
)


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_any_order_of_words_compiles_or_is_refused(text: str) -> None:
    holds: bool | None = None
    errors: tuple[Exception, ...] = ()
    try:
        holds = compile_cel(text).holds(ABOUT)
    except ExceptionGroup as group:
        errors = group.exceptions
    assert holds in (True, False, None)
    assert all(isinstance(error, CelError) for error in errors)


# Values that could grow.

MAP = ".map(t, t)"
EXISTS = '.exists(t, t == "a")'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("request.tools" + ".map(t, t + t)" * 2 + EXISTS, "more than 1 `+` beside `map` or `filter`"),
        ("(request.tools + request.tools + request.tools)" + MAP + EXISTS, "more than 1 `+` beside `map` or `filter`"),
        ("request.tools" + MAP * (LIMIT_LISTS + 1) + EXISTS, f"more than {LIMIT_LISTS} of `map` and `filter`"),
        (
            "request.tools" + ".filter(t, true)" * (LIMIT_LISTS + 1) + EXISTS,
            f"more than {LIMIT_LISTS} of `map` and `filter`",
        ),
        ("(" + " + ".join(["request.tools"] * (LIMIT_JOINS + 2)) + ")" + EXISTS, f"more than {LIMIT_JOINS} `+`:"),
        ("request.tools.map(t, [t, t]).exists(t, true)", "`map` makes a text, a number or a condition"),
        ("request.tools.map(t, {t: t}).exists(t, true)", "`map` makes a text, a number or a condition"),
        ("request.tools.map(t, request.model)" + EXISTS, "`map` makes a text, a number or a condition"),
        ("request.tools.map(t, (tenant.name))" + EXISTS, "`map` makes a text, a number or a condition"),
    ],
)
def test_an_expression_whose_values_could_grow_is_refused(text: str, message: str) -> None:
    assert any(told.startswith(message) for _, _, told in mistakes(text))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('request.tools.filter(t, t in ["shell", "bash"]).size() == 1', True),
        ('request.tools.map(t, t + "!").exists(t, t == "web!")', True),
        ('size(request.tools.map(t, size(t))) == 2 && request.model != ""', True),
        ('request.tools.filter(t, t == request.model).size() == 0 || "map" == "filter"', True),
        (" || ".join(['request.tools.exists(t, t == "map" + "x")'] * LIMIT_JOINS), False),
    ],
)
def test_an_expression_with_bounded_values_is_not(text: str, holds: bool) -> None:
    assert compile_cel(text).holds(ABOUT) is holds


def test_a_list_of_a_long_list_is_not_made() -> None:
    """The library copies the list that it makes for each item. The condition counts as failed, so its policy applies."""
    compiled = compile_cel('request.tools.filter(t, t == "a").size() == 0')
    names = tuple(f"t{number}" for number in range(LIMIT_ITEMS + 1))
    assert compiled.holds(About(route="POST /x", tools=names[:-1])) is True
    longer = About(route="POST /x", tools=names)
    assert compiled.holds(longer) is None
    assert compile_cel('request.tools.exists(t, t == "t9")').holds(longer) is True, "no list is made"
