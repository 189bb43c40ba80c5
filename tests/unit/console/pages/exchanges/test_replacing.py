"""What stands for a replaced span: told from the rules, never invented."""

from __future__ import annotations

from guardproxy.audit.record import RecordedFinding
from guardproxy.console.pages.exchanges.replacing import replacing_of
from guardproxy.console.pages.exchanges.texts import Replacement
from guardproxy.redaction import RESTORE
from guardproxy.replay import rules_for
from tests.kit.play import CHAT, policy_set
from tests.kit.records import plain_record, plain_text

TOKEN = "[EMAIL_ADDRESS_tmcdvkjrcnfr]"
VALUE = "anna@example.com"


def put(operators: str, *, value: bool = False, label: str = "EMAIL_ADDRESS", action: str = "redact") -> Replacement:
    extra = f", operators: {operators}" if operators else ""
    policies = policy_set(
        f"""
policy: p
checks: {{pii: {{use: pii, entities: [EMAIL_ADDRESS]}}}}
rules:
  - {{id: other, on: response, when: pii, action: flag}}
  - {{id: r, on: {"request" if action == "redact" else "request.tool_result"}, when: pii, action: {action}{extra}}}
"""
    )
    shown = VALUE if value else TOKEN
    kind = "user" if action == "redact" else "tool_result"
    finding = RecordedFinding(check="pii", label=label, start=0, end=len(shown), score=1.0)
    text = plain_text(text=shown, kind=kind, findings=(finding,), edits=((0, len(shown)),))
    bound = rules_for(plain_record(None, text, route=CHAT, policies=policies.digest), policies)
    placeholders = {VALUE: TOKEN} if value else {}
    return replacing_of("request", bound, placeholders, shows_values=value)(text, 0, len(shown))


def test_a_placeholder_is_what_the_record_shows() -> None:
    assert put("") == Replacement(TOKEN, "replaced by rule r (placeholder)")
    assert put("", value=True).text == TOKEN


def test_operators_that_do_not_need_the_value() -> None:
    assert put("{DEFAULT: {type: redact}}").text == ""
    assert put("{DEFAULT: {type: replace, new_value: '<mail>'}}").text == "<mail>"


def test_operators_that_need_the_value_are_told_only_with_it() -> None:
    mask = "{DEFAULT: {type: mask, chars_to_mask: 4}}"
    assert put(mask).text is None
    assert put(mask, value=True).text == "****@example.com"
    assert put("{DEFAULT: {type: hash}}", value=True).text is None


def test_a_value_without_a_placeholder_is_not_told() -> None:
    policies = policy_set(
        "policy: p\nchecks: {pii: {use: pii, entities: [EMAIL_ADDRESS]}}\n"
        "rules: [{id: r, on: request, when: pii, action: redact}]\n"
    )
    finding = RecordedFinding(check="pii", label="EMAIL_ADDRESS", start=0, end=4, score=1.0)
    text = plain_text(text="anna", findings=(finding,), edits=((0, 4),))
    bound = rules_for(plain_record(None, text, route=CHAT), policies)
    assert replacing_of("request", bound, {}, shows_values=False)(text, 0, 4).text is None


def test_what_is_cut_out_has_nothing_in_its_place() -> None:
    assert put("", action="drop_chunk") == Replacement("", "pii: cut out")


def test_without_rules_or_findings_nothing_is_told() -> None:
    text = plain_text(text=TOKEN, edits=((0, 5),))
    assert replacing_of("request", None, {}, shows_values=False)(text, 0, 5).text is None


def test_a_restored_placeholder() -> None:
    restored = RecordedFinding(check=RESTORE, label="PLACEHOLDER", start=0, end=len(TOKEN), score=1.0)
    text = plain_text(text=TOKEN, kind="assistant", findings=(restored,))
    told = replacing_of("response", None, {}, shows_values=False)(text, 0, len(TOKEN))
    assert told == Replacement(None, f"the client got the value of {TOKEN}")
    shown = plain_text(
        text=VALUE, findings=(RecordedFinding(check=RESTORE, label="PLACEHOLDER", start=0, end=16, score=1.0),)
    )
    assert replacing_of("response", None, {}, shows_values=True)(shown, 0, 16).text == VALUE
