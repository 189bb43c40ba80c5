"""Rules about fields: whatever a client calls a field and wherever it puts it, the upstream never gets the client's value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.values.fields import FieldAction, FieldRules, bound_fields
from guardproxy.wire import Codec, FieldPath, Prompt, codecs
from guardproxy.wire.contract.fields import ITEMS, denied_field
from guardproxy.wire.decoding.json_codec import JsonCodec
from guardproxy.wire.json import Map

CLIENT = "the value of the client"
DEEPEST = 4


def paths_of(how: Map, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The paths of the fields that a map of requests names."""
    if path:
        yield ".".join(path)
    if len(path) < DEEPEST:
        if isinstance(how, dict):
            for name, child in how.items():
                if isinstance(name, str) and name.replace("$", "_").isidentifier():
                    yield from paths_of(child, (*path, name))
        elif isinstance(how, list) and path:
            yield from paths_of(how[0], (*path, ITEMS))


FIELDS = [
    (codec, path)
    for codec in codecs()
    if isinstance(codec, JsonCodec)
    for path in sorted(set(paths_of(codec.grammar.request)))
]


def spellings(name: str) -> list[str]:
    """The ways to write a name that some server reads as this name."""
    words = name.split("_")
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return [name, camel, snake, name.upper(), f"_{name}", name.replace("s", "\u017f"), name.replace("k", "\u212a")]


@st.composite
def sent(draw: st.DrawFn, path: str) -> Any:
    """The part of a request that gives a field a value, in some spelling."""
    value: Any = CLIENT
    for step in reversed(path.split(".")):
        if step == ITEMS:
            value = draw(st.sampled_from([value, [value], [value, value]]))
        else:
            names = draw(st.lists(st.sampled_from(spellings(step)), min_size=1, max_size=2, unique=True))
            value = dict.fromkeys(names, value)
    for nested in draw(
        st.lists(st.sampled_from(["extra_body", "extraBody", "generateContentRequest", "requests"]), max_size=2)
    ):
        value = {nested: draw(st.sampled_from([value, [value]]))}
    return value


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    """The path of a field of some format, and a request with it: the client's value is nowhere else."""
    codec, path = draw(st.sampled_from(FIELDS))
    tree = codec.author.request(Prompt("a-model", "hi"))
    part = draw(sent(path))
    rest = {key: value for key, value in tree.items() if key not in part}
    return path, draw(st.sampled_from([{**rest, **part}, {**part, **rest}]))


def rule(action: FieldAction, path: str) -> FieldRules:
    named = frozenset([path])
    rules = {
        "set": FieldRules(values={path: "set"}),
        "strip": FieldRules(strip=named),
        "refuse": FieldRules(refuse=named),
    }
    return rules[action]


def has_client_value(tree: Any) -> bool:
    return CLIENT in json.dumps(tree)


@given(requests(), st.sampled_from(["set", "strip", "refuse"]), st.booleans())
def test_the_upstream_never_gets_the_value_of_the_client(
    request: tuple[str, Any], action: FieldAction, knows: bool
) -> None:
    path, tree = request
    fields, field = bound_fields({"p": (rule(action, path), True)}), FieldPath(path)
    if action == "refuse":
        assert list(fields.refused(tree))
        return
    new, changes = fields.changed(tree, lambda _: knows or field.is_at_top(tree))
    assert changes
    assert not has_client_value(new)
    assert fields.changed(new, lambda _: knows or field.is_at_top(new))[1] == []
    if action == "set" and knows and ITEMS not in path:
        node = new
        for step in path.split("."):
            node = node[step]
        assert node == "set"


@given(st.data(), st.sampled_from([codec for codec in codecs() if codec.contract.denied]))
def test_a_denied_field_is_found_in_every_spelling(data: st.DataObject, codec: Codec) -> None:
    name = data.draw(st.sampled_from(sorted(codec.contract.denied)))
    tree = {**codec.author.request(Prompt("a-model", "hi")), **data.draw(sent(name))}
    found = denied_field(tree, codec.contract.denied, ())
    assert found
    assert found[1] == name
    assert denied_field(tree, codec.contract.denied, (name,)) is None
