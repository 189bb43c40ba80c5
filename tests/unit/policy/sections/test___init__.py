"""The registry of sections: each is a key of a policy file that is inherited, may hold variables, and does without rules."""

from __future__ import annotations

import ast
from pathlib import Path

import guardproxy
from guardproxy.policy.file import keys
from guardproxy.policy.file.extending import INHERITED
from guardproxy.policy.file.variables import PLACES
from guardproxy.policy.sections import SECTIONS

PACKAGE = Path(guardproxy.__file__).parent


def test_each_section_is_a_key_of_a_policy_file() -> None:
    for name, section in SECTIONS.items():
        assert name == section.name
        assert keys.POLICY[name].doc == section.doc
        assert name in INHERITED
        assert name in PLACES


def _asks(node: ast.AST) -> str:
    """The name of the section that an expression asks for by its name, as in `policy.sections["route"]`; empty if it does
    not."""
    match node:
        case ast.Subscript(value=holder, slice=ast.Constant(value=name)):
            pass
        case ast.Call(func=ast.Attribute(attr="get", value=holder), args=[ast.Constant(value=name), *_]):
            pass
        case ast.Compare(left=ast.Constant(value=name), comparators=[holder]):
            pass
        case _:
            return ""
    is_known = isinstance(holder, ast.Attribute) and holder.attr in ("sections", "section_names")
    return name if is_known and isinstance(name, str) else ""


def test_only_its_own_file_knows_a_section_by_its_name() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "sections" not in path.relative_to(PACKAGE).parts]
    found = [
        f"{path.relative_to(PACKAGE)}:{name}"
        for path in files
        if "section" in (text := path.read_text("utf-8"))
        for node in ast.walk(ast.parse(text))
        if (name := _asks(node)) in SECTIONS
    ]
    assert len(files) > 300
    assert found == []


def test_a_lookup_by_name_is_seen() -> None:
    texts = (
        "p.sections['route']",
        "p.sections.get('cache', ())",
        "'limits' in p.section_names",
        "'judge' in p.sections",
    )
    assert [_asks(ast.parse(text, mode="eval").body) for text in texts] == ["route", "cache", "limits", "judge"]
    assert _asks(ast.parse("p.sections.get(name)", mode="eval").body) == ""
