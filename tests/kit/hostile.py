"""Texts that attack a page, and entries of the log that hold them in every field.

In: a type of entry. Out: an entry in which each string is hostile, each list has entries and each optional member is there. The
fields come from the types, so a field that is added tomorrow is attacked tomorrow.

Every attack that succeeds asks for an address that holds `MARK`, or sets `window.attacked`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import (
    AnyType,
    BoolType,
    DictType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    TupleType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

Entry = TypeVar("Entry", bound=msgspec.Struct)

MARK = "attacked-here"
_RUN = f"window.attacked=1;fetch('/{MARK}')"
TEXTS: Mapping[str, str] = {
    "script": f"<script>{_RUN}</script>",
    "closing tags": f"</textarea></title></style></script></option></template>--><script>{_RUN}</script>",
    "handler": f'<img src="/{MARK}.png" onerror="{_RUN}"><svg onload="{_RUN}">',
    "attribute": f"""x" onmouseover="{_RUN}" autofocus onfocus="{_RUN}" a='b' onclick='{_RUN}' `""",
    "htmx": f'<div hx-get="/{MARK}" hx-trigger="load" hx-on:click="{_RUN}" hx-on::load="{_RUN}"></div>',
    "htmx attribute": f'" hx-get="/{MARK}" hx-trigger="load" hx-vals="js:{_RUN}',
    "elements": f'<base href="//{MARK}.example/"><meta http-equiv="refresh" content="0;url=/{MARK}"><iframe src="/{MARK}">'
    f'</iframe><link rel="stylesheet" href="/{MARK}.css"><form action="/{MARK}"><button>send</button></form>',
    "link": f"javascript:{_RUN}",
    "links": f'<a href="javascript:{_RUN}">here</a> [here](javascript:{_RUN}) data:text/html,<script>{_RUN}</script>',
    "template": "{{ 7 * 7 }} {% include '/etc/passwd' %} ${7*7} {{ config }} {# #} %s %(name)s {0} {name!r}",
    "path": f"../../../../etc/passwd //{MARK}.example/x ?a=b&c=d#e;f %2e%2e%2f %00 \\..\\",
    "bidi": "user \u202e nimda \u2066 admin \u2069\u202c \u200f\u061c",
    "controls": "a\x00b\x07c\x1b[31mred\x1b]0;title\x07\x08\x7f\x85\u2028\u2029",
    "invisible": "a\u200bb\u200dc\ufeffd\U000e0041\U000e0042\ufe0f",
    "marks": "e" + "\u0301\u0489\u0316" * 40,
    "wide": "\U0001f469\u200d\U0001f469\u200d\U0001f467 \uff21\ufdfd\u202f\u3000",
    "unbroken": "W" * 400,
    "entities": "&lt;script&gt; &amp;amp; &#x3c;b&#x3e; &NotAnEntity;",
    "yaml": "a: [b, {c: d}]\n- !!python/object/apply:os.system ['id']\n*anchor &x <<: *y # comment",
    "csv": '=HYPERLINK("//x.example","a"),+1,-1,@SUM(1)\t|\r\n',
}
EVERY = " ".join(TEXTS.values())

FILE_NAME = '"><img src=x onerror=window.attacked=1>.yaml'


def policy(*, is_broken: bool) -> str:
    """A policy with hostile texts wherever it may hold words of people; with `is_broken` also where it may not."""
    said = "".join(char for char in EVERY if char >= " " and char not in "\x7f\x85")
    tree: dict[str, Any] = {
        **{"policy": said if is_broken else "hostile", "description": said, "match": {"tenants": [said]}},
        "checks": {"words": {"use": "pattern", "words": [TEXTS["script"]], "label": said if is_broken else "WORD"}},
        "rules": [
            {
                "id": said if is_broken else "no-words",
                "on": "request",
                "when": "words",
                "action": "block",
                "message": said,
            }
        ],
        "tests": [{"name": said, "request": said, "expect": {"rule": "no-words", "decision": "pass"}}],
    }
    tree["rules"][0]["message"] = said
    return json.dumps(tree)


def filled(kind: type[Entry], said: str = EVERY, **given: Any) -> Entry:
    """An entry or a part of one, with the text `said` in every field. `given`: members as they stand in the log."""
    found = type_info(kind)
    assert isinstance(found, StructType)
    return msgspec.convert({**_members(found, said), **given}, kind)


def _members(struct: StructType, said: str) -> dict[str, Any]:
    tag = {str(struct.tag_field): struct.tag} if struct.tag_field else {}
    return {**tag, **{field.encode_name: _value(field.encode_name, field.type, said) for field in struct.fields}}


def _value(name: str, found: Type, said: str) -> Any:
    """A value of a type. Offsets lie within the texts: they start at 3 and end at 40."""
    match found:
        case Metadata(type=inner):
            return _value(name, inner, said)
        case StrType() | AnyType():
            return said
        case BoolType():
            return True
        case IntType():
            return {"start": 3, "end": 40}.get(name, 1)
        case FloatType():
            return 0.5
        case NoneType():
            return None
        case LiteralType(values=values):
            return values[0]
        case ListType(item_type=item) | VarTupleType(item_type=item):
            return [_value(name, item, said)] * 2
        case TupleType(item_types=items):
            are_offsets = all(isinstance(item, IntType) for item in items)
            return [3, 40] if are_offsets else [_value(name, item, said) for item in items]
        case DictType(value_type=value):
            return {said: _value(name, value, said), "request": _value(name, value, said)}
        case UnionType(types=types):
            return _value(name, next(part for part in types if not isinstance(part, NoneType)), said)
        case StructType() as struct:
            return _members(struct, said)
    raise TypeError(f"no hostile value for {found}")
