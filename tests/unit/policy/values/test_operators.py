"""`operators:` of a rule: what it becomes, and what each mistake is told."""

from __future__ import annotations

import pytest

from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.values.document import Policy
from guardproxy.redaction.operators import MASK_ALL, Operator, Operators


def read(operators: str, more: str = "", action: str = "redact") -> Policy:
    rule = f"  - {{id: r, on: request, when: pii, action: {action}, operators: {operators}{more}}}\n"
    return parse(f"policy: p\nchecks: {{pii: {{use: pii}}}}\nrules:\n{rule}", "p.yaml")


AT = len("  - {id: r, on: request, when: pii, action: redact, ") + 1  # column of the word `operators`
IN = AT + len("operators: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{DEFAULT: redact}", Operators(Operator("redact"))),
        ("{CREDIT_CARD: mask}", Operators(Operator(), {"CREDIT_CARD": MASK_ALL})),
        (
            "{CREDIT_CARD: {type: mask, masking_char: '#', chars_to_mask: 12, from_end: true}, DEFAULT: placeholder}",
            Operators(Operator(), {"CREDIT_CARD": Operator("mask", "", "#", 12, from_end=True)}),
        ),
        ("{DEFAULT: {type: replace, new_value: GONE}}", Operators(Operator("replace", "GONE"))),
        (
            "{DEFAULT: hash, US_SSN: {type: hash, hash_type: sha512}}",
            Operators(Operator("hash"), {"US_SSN": Operator("hash", hash_type="sha512")}),
        ),
    ],
)
def test_what_it_becomes(text: str, expected: Operators) -> None:
    assert read(text).rules[0].operators == expected


def test_without_a_word_there_are_placeholders() -> None:
    rule = "rules: [{id: r, when: pii, action: redact}]"
    assert parse(f"policy: p\nchecks: {{pii: {{use: pii}}}}\n{rule}\n", "p.yaml").rules[0].operators == Operators()


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (
            "hash",
            IN,
            "expected a mapping from labels to operators, like `{CREDIT_CARD: mask, DEFAULT: hash}`, found a word",
        ),
        ("{}", IN, "an empty mapping has no effect; name a label, or `DEFAULT` for all labels"),
        (
            "{default: hash}",
            IN + 1,
            "`default` is not a label: labels are written like CREDIT_CARD; did you mean `DEFAULT`?",
        ),
        ("{card: hash}", IN + 1, "`card` is not a label: labels are written like CREDIT_CARD"),
        (
            "{DEFAULT: hsh}",
            IN + 10,
            "unknown word `hsh`; did you mean `hash`? (expected one of redact, replace, hash, placeholder, mask, neutralise)",
        ),
        (
            "{DEFAULT: 3}",
            IN + 10,
            "expected an operator, like `hash` or `{type: mask, chars_to_mask: 12}`, found a number",
        ),
        (
            "{DEFAULT: {new_value: x}}",
            IN + 10,
            "`type` is missing; use one of redact, replace, hash, placeholder, mask, neutralise",
        ),
        (
            "{DEFAULT: {type: encrypt, key: x}}",
            IN + 17,
            "the operator `encrypt` is not available here; use one of redact, replace, hash, placeholder, mask, neutralise",
        ),
        (
            "{DEFAULT: {type: mask, mask_char: x}}",
            IN + 23,
            "unknown key `mask_char`; did you mean `masking_char`? (allowed here: type, masking_char, chars_to_mask, "
            "from_end)",
        ),
        (
            "{DEFAULT: replace}",
            IN + 10,
            "`replace` needs a replacement, like `{type: replace, new_value: REMOVED}`",
        ),
        ("{DEFAULT: {type: mask, masking_char: xx}}", IN + 37, "expected one character, found a longer text"),
        ("{DEFAULT: {type: mask, chars_to_mask: x}}", IN + 38, "expected a number of characters, found a word"),
        ("{DEFAULT: {type: mask, chars_to_mask: true}}", IN + 38, "expected a number of characters, found `true`"),
        (
            "{DEFAULT: {type: mask, chars_to_mask: 0}}",
            IN + 38,
            "expected a number of at least 1, found 0; leave it out to mask the whole value",
        ),
        (
            "{DEFAULT: {type: hash, hash_type: md5}}",
            IN + 34,
            "unknown word `md5` (expected one of sha256, sha512)",
        ),
    ],
)
def test_what_a_mistake_is_told(text: str, column: int, message: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        read(text)
    assert str(caught.value) == f"p.yaml:4:{column}: {message}"


def test_operators_belong_to_redact() -> None:
    with pytest.raises(PolicyErrors, match=r"4:52: `operators` belong to the action redact, not to block"):
        read("{DEFAULT: hash}", action="block")


@pytest.mark.parametrize(
    ("text", "which"),
    [
        ("{DEFAULT: hash}", "`hash` for DEFAULT"),
        ("{CREDIT_CARD: mask, DEFAULT: placeholder}", "`mask` for CREDIT_CARD"),
    ],
)
def test_what_cannot_be_restored_is_not_promised(text: str, which: str) -> None:
    with pytest.raises(PolicyErrors, match=f"`restore` restores placeholders only; {which} cannot be restored"):
        read(text, ", restore: true")
    assert read(text, ", restore: false").rules[0].restore is False
