"""The guardrails of a LiteLLM configuration become policies with checks and rules.

In: the source. Out: policies of the draft, notes. In LiteLLM a client may choose the guardrails of a request; here every policy
holds for every request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from guardproxy.checks import Resources, build
from guardproxy.errors import OptionError
from guardproxy.importing.draft import ImportDraft, NewNames, plain_name
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import ImportSource
from guardproxy.policy import RESERVED

Where = tuple[str | int, ...]
NAMED = ("PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME")
"""Presidio's entities that a model finds."""
MODES = ("pre_call", "during_call", "post_call", "logging_only")
_DEFAULT_ENTITIES = (
    "CREDIT_CARD",
    "CRYPTO",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "PHONE_NUMBER",
    "US_SSN",
    *NAMED,
)
_PREBUILT = {
    "us_ssn": ("pii", "US_SSN"),
    "email": ("pii", "EMAIL_ADDRESS"),
    "us_phone": ("pii", "PHONE_NUMBER"),
    "ipv4": ("pii", "IP_ADDRESS"),
    "ipv6": ("pii", "IP_ADDRESS"),
    **dict.fromkeys(("visa", "mastercard", "amex", "discover", "credit_card"), ("pii", "CREDIT_CARD")),
    "iban": ("pii", "IBAN_CODE"),
    **dict.fromkeys(
        ("aws_access_key", "aws_secret_key", "github_token", "slack_token", "generic_api_key"), ("secrets", "")
    ),
}
INJECTION = (
    "lakera",
    "lakera_v2",
    "lakera_prompt_injection",
    "detect_prompt_injection",
    "azure/prompt_shield",
    "prompt_security",
)
SECRETS = ("hide-secrets", "hide_secrets")
CONTENT = ("openai_moderation", "llamaguard_moderations", "google_text_moderation", "azure/text_moderations")


def convert_guardrails(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    """Converts the list `guardrails`, the older list of `litellm_settings`, and callbacks that are guardrails."""
    for index in range(source.count("guardrails")):
        _guardrail(source, draft, report, ("guardrails", index))
    for index in range(source.count("litellm_settings", "guardrails")):
        for name in source.keys("litellm_settings", "guardrails", index):
            _older(source, draft, report, name, ("litellm_settings", "guardrails", index, name))


def convert_callback(kind: str, draft: ImportDraft) -> str:
    """Adds the policy of a callback that is a guardrail. Returns the name of the policy; empty for another callback."""
    tree = _simple(kind, ("request",))
    return draft.policy(kind, tree) if tree else ""


def _guardrail(source: ImportSource, draft: ImportDraft, report: ImportReport, path: Where) -> None:
    params = (*path, "litellm_params")
    kind, name = source.get(*params, "guardrail"), source.get(*path, "guardrail_name")
    if not isinstance(kind, str):
        report.impossible("`litellm_params.guardrail` is missing", *path)
        return
    wanted = name if isinstance(name, str) else kind
    given = _list(source.get(*params, "mode"))
    modes = [mode for mode in given if mode in MODES] or ["pre_call"]
    directions = tuple(
        direction
        for direction, when in (("request", ("pre_call", "during_call", "logging_only")), ("response", ("post_call",)))
        if any(mode in when for mode in modes)
    )
    extra: dict[str, Any] = {"mode": "shadow"} if modes == ["logging_only"] else {}
    converters: Mapping[str, Callable[..., dict[str, Any] | None]] = {
        "presidio": _presidio,
        "litellm_content_filter": _content_filter,
    }
    converter = converters.get(kind)
    tree = converter(source, report, params, directions) if converter else _simple(kind, directions)
    if tree is None:
        report.impossible(why_not(kind), *path)
        return
    in_parallel = "during_call" in modes
    rules = [rule | {"parallel": True} if in_parallel and _may_wait(rule) else rule for rule in tree["rules"]]
    about = f"The guardrail {plain_name(wanted)} of LiteLLM."
    policy = draft.policy(wanted, {"description": about, **extra, **tree, "rules": rules})
    if source.get(*params, "default_on") is True:
        report.taken(f"the policy `{policy}`", *path, "guardrail_name")
    else:
        report.changed(f"the policy `{policy}` holds for every request; clients do not choose", *path, "guardrail_name")
    report.taken("the policy holds for every request", *params, "default_on")
    if kind in ("presidio", "litellm_content_filter", *SECRETS):
        report.taken(f"checks of the policy `{policy}`", *params, "guardrail")
    else:
        report.changed(f"the model of guardproxy judges in the policy `{policy}`", *params, "guardrail")
        for part in ("api_key", "api_base", "category_thresholds", "model"):
            report.changed("not needed: the check runs in the proxy", *params, part)
    if any(mode not in MODES for mode in given):
        report.changed("judged by `on` of the rules; a mode that is not known is left out", *params, "mode")
    elif modes == ["logging_only"]:
        report.changed("`mode: shadow`: recorded, and nothing is changed", *params, "mode")
    elif in_parallel and not all(map(_may_wait, tree["rules"])):
        report.changed("rules that redact come before the request goes upstream", *params, "mode")
    else:
        report.taken("`on` and `parallel` of the rules", *params, "mode")


def _may_wait(rule: Mapping[str, Any]) -> bool:
    """Whether a rule may judge while the upstream works."""
    return bool(rule["action"] == "block" and rule["on"] != "response")


def why_not(kind: str) -> str:
    """Returns why a guardrail or callback of this kind is not taken."""
    if "." in kind:
        return "code of your own: write a check as a plug-in"
    return f"the service `{plain_name(kind)}` is not asked; a check `http` can ask a service, or a plug-in"


def _older(source: ImportSource, draft: ImportDraft, report: ImportReport, name: str, path: Where) -> None:
    """A guardrail in the older form: a name with a list of callbacks."""
    for index, kind in enumerate(_list(source.get(*path, "callbacks"))):
        policy = convert_callback(kind, draft) if isinstance(kind, str) else ""
        where = (*path, "callbacks", index)
        if policy:
            report.taken(f"the policy `{policy}`", *where)
        else:
            report.impossible(why_not(str(kind)), *where)
    report.changed("policies hold for every request", *path, "default_on")


def _simple(kind: str, directions: tuple[str, ...]) -> dict[str, Any] | None:
    """The policy of a guardrail without options; `None` for an unknown one."""
    check: dict[str, Any]
    if kind in SECRETS:
        check, rule = {"secrets": {"use": "secrets"}}, {"when": "secrets", "action": "redact"}
    elif kind in INJECTION:
        check, rule = {"attack": {"use": "supervisor", "label": "injection"}}, {"when": "attack", "action": "block"}
    elif kind in CONTENT:
        check, rule = {"harm": {"use": "supervisor", "label": "content"}}, {"when": "harm", "action": "block"}
    elif kind == "presidio":
        entities = [entity for entity in _DEFAULT_ENTITIES if entity not in NAMED]
        check, rule = {"pii": {"use": "pii", "entities": entities}}, {"when": "pii", "action": "redact"}
    else:
        return None
    if kind in INJECTION:
        rules = [{"id": "no-attacks", "on": ["user", "tool_result"], **rule}] if "request" in directions else []
    else:
        rules = [{"id": f"{rule['action']}-{direction}", "on": direction, **rule} for direction in directions]
    return {"checks": check, "rules": rules} if rules else None


def _presidio(
    source: ImportSource, report: ImportReport, params: Where, directions: tuple[str, ...]
) -> dict[str, Any] | None:
    entities = dict(_entities(source, report, params))
    if not entities:
        entities = dict.fromkeys(_DEFAULT_ENTITIES, "MASK")
    restore = source.get(*params, "output_parse_pii") is True
    report.taken("`restore` of the rule", *params, "output_parse_pii")
    threshold = _threshold(source, report, params)
    language = source.get(*params, "presidio_language")
    is_known = isinstance(language, str) and _is_right("pii", {"entities": ["CREDIT_CARD"], "language": language})
    if is_known:
        report.taken("`language` of the check", *params, "presidio_language")
    for part in ("presidio_analyzer_api_base", "presidio_anonymizer_api_base"):
        report.changed("not needed: the check runs in the proxy", *params, part)
    checks: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    for action, how in (("BLOCK", "block"), ("MASK", "redact")):
        chosen = [entity for entity, wanted in entities.items() if wanted == action]
        if not chosen:
            continue
        check: dict[str, Any] = {"use": "pii", "entities": chosen}
        check |= {"threshold": threshold} if threshold is not None else {}
        check |= {"language": language} if is_known else {}
        checks[f"pii_{how}"] = check
        for direction in directions:
            rule = {"id": f"{how}-{direction}", "on": direction, "when": f"pii_{how}", "action": how}
            rules.append(rule | ({"restore": True} if restore and how == "redact" and direction == "request" else {}))
    return {"checks": checks, "rules": rules}


def _entities(source: ImportSource, report: ImportReport, params: Where) -> Iterator[tuple[str, str]]:
    """The entities with their actions."""
    for entity in source.keys(*params, "pii_entities_config"):
        path = (*params, "pii_entities_config", entity)
        action = source.get(*path)
        if entity not in NAMED and not _is_right("pii", {"entities": [entity]}):
            report.impossible("no recognizer of guardproxy finds it", *path)
        elif action not in ("MASK", "BLOCK"):
            report.impossible("an action is MASK or BLOCK", *path)
        else:
            report.taken("a rule redacts it" if action == "MASK" else "a rule blocks it", *path)
            yield entity, action


def _threshold(source: ImportSource, report: ImportReport, params: Where) -> float | None:
    """The threshold of all entities."""
    path = (*params, "presidio_score_thresholds")
    value = source.get(*path, "ALL")
    for entity in source.keys(*path):
        if entity == "ALL" and isinstance(value, int | float) and 0 <= value <= 1:
            report.taken("`threshold` of the check", *path, entity)
        else:
            report.impossible("a check has one threshold; write a further check for this entity", *path, entity)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _content_filter(
    source: ImportSource, report: ImportReport, params: Where, directions: tuple[str, ...]
) -> dict[str, Any] | None:
    checks: dict[str, Any] = {}
    actions: dict[str, str] = {}
    names, ids = NewNames("_", RESERVED), NewNames("-")

    def add(name: str, check: Mapping[str, Any], action: object, path: Where) -> None:
        used = names.of(name)
        checks[used] = check
        actions[used] = "block" if action == "BLOCK" else "redact"
        report.taken(f"the check `{used}`", *path)

    for index in range(source.count(*params, "patterns")):
        path = (*params, "patterns", index)
        kind, text = source.get(*path, "pattern_type"), source.get(*path, "pattern")
        prebuilt = _PREBUILT.get(str(source.get(*path, "pattern_name")))
        name = plain_name(str(source.get(*path, "name") or source.get(*path, "pattern_name") or "pattern"))
        slug = name.replace("-", "_").lstrip("0123456789_") or "pattern"
        action = source.get(*path, "action")
        if kind == "prebuilt" and prebuilt:
            use, entity = prebuilt
            add(slug, {"use": use, **({"entities": [entity]} if entity else {})}, action, path)
        elif kind == "regex" and isinstance(text, str):
            options = {"label": slug.upper(), "patterns": [text]}
            if _is_right("pattern", options):
                add(slug, {"use": "pattern", **options}, action, path)
            else:
                report.impossible("RE2 cannot run the pattern, or its matches have no bound", *path)
        else:
            report.impossible("no check of guardproxy has this pattern", *path)
    for index in range(source.count(*params, "blocked_words")):
        path = (*params, "blocked_words", index)
        word = source.get(*path, "keyword")
        if isinstance(word, str) and word.isprintable() and _is_right("pattern", {"words": [word]}):
            add(f"word_{index + 1}", {"use": "pattern", "words": [word]}, source.get(*path, "action"), path)
        else:
            report.impossible("no word that can be looked for", *path)
    rules = [
        {"id": ids.of(plain_name(f"{check}-{direction}")), "on": direction, "when": check, "action": action}
        for check, action in actions.items()
        for direction in directions
    ]
    return {"checks": checks, "rules": rules} if rules else None


def _is_right(use: str, options: Mapping[str, Any]) -> bool:
    """Whether a check takes these options."""
    try:
        build(use, "check", options, Resources())
    except OptionError:
        return False
    return True


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
