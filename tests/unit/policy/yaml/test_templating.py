"""Templates of system prompts: what they may have, and that they always render to a bounded text."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.yaml.templating import LIMIT_VALUE, NAMES, TemplateError, compile_template

VALUES = {"system": "Own.", "tenant": "acme", "route": "POST /v1/chat/completions", "model": "gpt"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Be kind.", "Be kind."),
        ("{{ system }} {{ model | upper }}", "Own. GPT"),
        ("{% if model in 'gpt claude' and not tenant == 'x' %}yes{% else %}no{% endif %}", "yes"),
        ("{% if 'mini' not in model or tenant != 'acme' %}{{ tenant ~ '!' }}{% endif %}", "acme!"),
        ("{{ 'a' if tenant == 'b' else 'c' }}{# a comment #}", "c"),
        ("{% raw %}{{ system }}{% endraw %}", "{{ system }}"),
        ("<b>{{ tenant }}</b>", "<b>acme</b>"),
    ],
)
def test_a_template_renders(source: str, expected: str) -> None:
    template = compile_template(source)
    assert template.render(VALUES) == expected
    assert template == compile_template(source)


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("\n{{ sytem }}", 2, "unknown value `sytem`; did you mean `system`?"),
        ("{% for x in system %}x{% endfor %}", 1, "the part `For`"),
        ("{% set x = system %}", 1, "the part `Assign`"),
        ("{{ system.upper() }}", 1, "the part `Call`"),
        ("{{ system.__class__ }}", 1, "the part `Getattr`"),
        ("{{ system['x'] }}", 1, "the part `Getitem`"),
        ("{{ 'a' * 9 }}", 1, "the part `Mul`"),
        ("{{ 'a' + 'b' }}", 1, "the part `Add`"),
        ("{{ system | replace('a', system) }}", 1, "a filter is one of"),
        ("{{ system | trim('x') }}", 1, "a filter is one of"),
        ("{{ 3 in model }}", 1, "a constant is a text"),
        ("{{ model < 'x' }}", 1, "compared by"),
        ("{% include 'x' %}", 1, "the part `Include`"),
        ("{% macro a() %}{% endmacro %}", 1, "the part `Macro`"),
        ("{{ system }}" * 5, 1, "at most 4 times"),
        ("{{ system", 1, "unexpected"),
        ("a\n{% if %}", 2, "Expected an expression"),
        ("{{ system | nothing }}", 1, "a filter is one of"),
        ("{{ " + "not " * 3000 + "system }}", 1, "nested too deeply"),
        ("{{ system" + " | upper" * 2000 + " }}", 1, "nested too deeply"),
        ("{% if tenant %}" * 150 + "{% endif %}" * 150, 1, "nested too deeply"),
    ],
)
def test_other_parts_of_jinja_are_refused_with_their_line(source: str, line: int, message: str) -> None:
    with pytest.raises(TemplateError, match=message.replace("(", r"\(")) as caught:
        compile_template(source)
    assert caught.value.line == line


_VALUE = st.text(max_size=300) | st.sampled_from(["{{ system }}", "{% for x in y %}", "\ufb03" * 300, "\u0390" * 300])
_PARTS = st.sampled_from(
    ["text ", "{{ system }}", "{{ model|upper }}", "{{ tenant|title|lower }}", "{% if model == tenant %}x{% endif %}"]
)


@given(parts=st.lists(_PARTS, max_size=8), values=st.tuples(*[_VALUE] * len(NAMES)))
@settings(max_examples=60, deadline=None)
def test_every_template_that_compiles_renders_to_a_text_of_bounded_size(parts: list[str], values: Any) -> None:
    source = "".join(parts)
    if source.count("system") > 4:
        return
    given_values = dict(zip(NAMES, values, strict=True))
    text = compile_template(source).render(given_values)
    most = len(source) + 3 * (source.count("system") * len(given_values["system"]) + len(parts) * LIMIT_VALUE)
    assert len(text) <= most


def test_without_the_library_a_template_is_an_error_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *more: Any, **options: Any) -> Any:
        if name.startswith("jinja2"):
            raise ImportError(name)
        return original(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PolicyErrors, match=r"p.yaml:2:20: templates need the package `jinja2`; install the extra"):
        parse("policy: p\nprompt: {template: x}\n", "p.yaml")
