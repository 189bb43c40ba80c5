"""Reads the files of a folder into policies.

In: the contents of the files. Out: frozen `Policy` values, policies with a tenant's overrides after the policy of their file,
and all errors with file, line and column. The options of checks are examined when the checks are built.

A policy that extends another is read as a single tree: its own tree merged into the tree of its baseline
(`extending.py`). Variables are replaced before the merge (`variables.py`). A policy may set a variable of its baseline
again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from guardproxy.checks import foreign
from guardproxy.errors import PolicyError
from guardproxy.policy.conditions.expression import RESERVED
from guardproxy.policy.conditions.matching import is_any, read_match
from guardproxy.policy.file import keys as tables
from guardproxy.policy.file.extending import overlay, weaknesses
from guardproxy.policy.file.formats import FormatSection, join_formats, read_formats
from guardproxy.policy.file.rules import read_rules
from guardproxy.policy.file.tool_rules import checks_of, rules_of
from guardproxy.policy.file.variables import Scope, SiblingFiles, read_scope, substitute
from guardproxy.policy.sections import LIMITS, SECTIONS, TOOLS
from guardproxy.policy.values import rollout
from guardproxy.policy.values.cases import read_tests
from guardproxy.policy.values.document import (
    INTENT,
    KEEP,
    MEDIA,
    MODES,
    ON_ERROR,
    PASSES,
    UNMAPPED,
    CheckSpec,
    Intent,
    Keep,
    Mode,
    Policy,
    Rule,
)
from guardproxy.policy.values.fields import FIELD_KEYS, read_fields
from guardproxy.policy.yaml.reading import FileReading, did_you_mean
from guardproxy.policy.yaml.tree import FilePlace, YamlNode, entries, read_tree

_CHECK_NAME = re.compile(tables.CHECK_NAME)
_WANTED = "a mapping that begins with `policy: some-name`"


@dataclass(slots=True)
class _File:
    """A file. `reading`: its errors; `keys`: its entries; `scope`: its variables; `extends`: the name of its baseline.

    `policies`: by tenant, with an empty name for the file itself; empty after an error.
    """

    path: str
    root: YamlNode
    reading: FileReading
    keys: Mapping[str, YamlNode]
    name: str
    scope: Scope = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)  # by tenant
    extends: str = ""
    policies: Mapping[str, Policy] = field(default_factory=dict)
    done: bool = False
    formats: tuple[FormatSection, ...] = ()

    def tenants(self) -> Mapping[str, YamlNode]:
        """Returns the overrides of each tenant, as mappings."""
        node = self.keys.get("tenants")
        tenants = node.value if node and isinstance(node.value, Mapping) else {}
        return {name: tenant for name, tenant in tenants.items() if isinstance(tenant.value, Mapping)}


def read_policies(
    files: Iterable[tuple[str, bytes | str]], beside: SiblingFiles | None = None
) -> list[Policy | PolicyError]:
    """Returns the policies and the errors of files (path, content), in the order of the files. `beside`: the files
    that they name."""
    read: list[_File | PolicyError] = [_open_file(path, content, beside) for path, content in files]
    by_name: dict[str, _File] = {}
    for file in read:
        if isinstance(file, _File):
            by_name.setdefault(file.name, file)
    joined = join_formats((file.reading, file.formats) for file in read if isinstance(file, _File))
    for file in read:
        if isinstance(file, _File):
            file.reading.formats = joined
    for file in read:
        if isinstance(file, _File) and (chain := _chain(file, by_name)):
            _read(chain)
    out: list[Policy | PolicyError] = []
    for file in read:
        if isinstance(file, PolicyError):
            out.append(file)
            continue
        errors = sorted(file.reading.errors, key=lambda error: (error.path != file.path, error.line, error.column))
        out += {str(error): error for error in errors}.values() if errors else file.policies.values()
    return out


def _open_file(path: str, content: bytes | str, beside: SiblingFiles | None) -> _File | PolicyError:
    try:
        root = read_tree(content, path)
    except PolicyError as error:
        return error
    reading = FileReading(path)
    needs_rules = entries(root).keys().isdisjoint(("extends", *FIELD_KEYS, *SECTIONS))
    required = tuple(name for name in tables.needed(tables.POLICY) if needs_rules or name != "rules")
    keys = reading.entries(root, _WANTED, tuple(tables.POLICY), required, "policy")
    file = _File(path, root, reading, keys, reading.name(keys.get("policy")) or "")
    file.extends = reading.name(keys.get("extends")) or ""
    file.formats = read_formats(reading, keys.get("formats"))
    file.scope = read_scope(reading, keys, beside)
    _check_tenants(reading, keys.get("tenants"))
    file.scopes = {tenant: read_scope(reading, entries(node), beside) for tenant, node in file.tenants().items()}
    return file


def _check_tenants(reading: FileReading, node: YamlNode | None) -> None:
    entries = (reading.mapping(node, "a mapping from tenants to stricter settings") if node else None) or {}
    for value in entries.values():
        keys = reading.entries(value, "a mapping like `{vars: {limit: 0.5}}`", tuple(tables.TENANT))
        if value.value == {}:
            reading.fail(value.place, "an empty mapping overrides nothing")
        rules = keys.get("rules")
        for item in reading.items(rules, "a list of rules") if rules else ():
            reading.entries(item, "a mapping with `id`", tuple(tables.RULE), ("id",), "rule")


def _chain(file: _File, by_name: Mapping[str, _File]) -> list[_File]:
    """Returns the file, preceded by the files that it extends; empty if a file is unknown or extends itself."""
    chain, names = [file], [file.name]
    while chain[0].extends:
        other = by_name.get(chain[0].extends)
        node = file.keys.get("extends")
        if other is None:
            if len(chain) == 1 and node:
                near = did_you_mean(file.extends, [name for name in by_name if name != file.name])
                file.reading.fail(node.place, f"unknown policy `{file.extends}`{near}")
            return []
        names.append(other.name)
        if any(other is link for link in chain):
            if other is file and node:
                circle = " extends ".join(f"`{name}`" for name in names)
                file.reading.fail(node.place, f"policies extend each other: {circle}")
            return []
        chain.insert(0, other)
    return chain


def _read(chain: list[_File]) -> None:
    """Reads the policies of the last file of a chain."""
    file, errors = chain[-1], chain[-1].reading.errors
    if file.done:
        return
    file.done = True
    before: Mapping[str, Policy] = {}
    if chain[1:]:
        _read(chain[:-1])
        before = chain[-2].policies
        if not before:  # the baseline's errors must be corrected first
            return
    policies: dict[str, Policy] = {}
    for tenant in ("", *dict.fromkeys(name for link in chain for name in link.tenants())):
        count = len(errors)
        if tenant and not is_any(policies[""].match.tenants, tenant):
            if tenant in file.tenants():
                place = file.tenants()[tenant].key
                file.reading.fail(place, f"`match` excludes the tenant `{tenant}`, so these overrides never apply")
            continue
        mine = _policy(chain, tenant)
        baselines = [policy for policy in (policies.get(""), before.get(tenant)) if policy]
        if len(errors) == count:
            for baseline in baselines:
                for place, message in weaknesses(baseline, mine):
                    file.reading.fail(place, message)
        # The overrides of each tenant would only repeat the errors of the policy that they change.
        if errors and not tenant:
            return
        names = {
            name
            for policy in (*baselines, *before.values())
            if policy.tenant in ("", tenant)
            for name in (policy.name, *policy.stands_for)
        }
        policies[tenant] = replace(mine, stands_for=frozenset(names))
    if not errors:
        file.policies = policies


def _policy(chain: list[_File], tenant: str) -> Policy:
    """Returns the policy of the last file, with its baselines and the overrides of a tenant."""
    file, reading = chain[-1], chain[-1].reading
    scope: Scope = {}
    for link in chain:
        scope |= link.scope
    overrides = [(link, entries(link.tenants()[tenant])) for link in chain if tenant in link.tenants()]
    for override, _ in overrides:
        scope |= override.scopes[tenant]
    used: set[str] = set()
    merged: Mapping[str, YamlNode] = {}
    own: Mapping[str, YamlNode] = {}
    stated: dict[str, list[YamlNode]] = {}
    for layer, keys in [*((link, link.keys) for link in chain), *overrides]:
        mine = substitute(reading, keys, scope, layer.scope, used)
        if layer is not file:
            mine = {key: node.with_path(layer.path) for key, node in mine.items()}
        elif not own:
            own = mine
        merged = overlay(merged, mine)
        for section in SECTIONS.keys() & mine.keys():
            stated.setdefault(section, []).append(mine[section])
    checks = _checks(reading, merged.get("checks"))
    rules = read_rules(reading, merged.get("rules"), tuple(checks))
    match = read_match(reading, own.get("match"))
    name = file.name
    if tenant:
        name = f"{name}@{tenant}"
        key = overrides[-1][0].tenants()[tenant].key
        where = FilePlace(key.line, key.column, key.path or overrides[-1][0].path)
        match = replace(match, tenants=(_exactly(tenant),), places={**match.places, "tenants[0]": where})
    place = file.keys["policy"].place if "policy" in file.keys else file.root.place
    audit = _audit(reading, merged.get("audit"))
    mode = reading.choice(merged.get("mode"), MODES, place="mode") or "enforce"
    share = rollout.read_share(reading, merged.get("enforce"))
    if mode == "shadow" and "enforce" in own and "mode" in own:
        reading.fail(own["enforce"].key, "`enforce` and `mode: shadow` exclude each other")
    sections = {key: SECTIONS[key].read_layers(reading, stated[key]) for key in merged if key in SECTIONS}
    limits = LIMITS.of(sections) or ()
    if (tools := TOOLS.of(sections)) is not None:
        where = merged[TOOLS.name].key
        for name in sorted(
            (checks.keys() & checks_of(tools, where)) | (rules.keys() & {rule.id for rule in rules_of(tools, where)})
        ):
            reading.fail(where, f"`{name}` is a name of this section; give the check or rule of that name another name")
        checks |= checks_of(tools, where)
        rules |= {rule.id: rule for rule in rules_of(tools, where)}
    return Policy(
        name=name,
        description=reading.word(file.keys.get("description"), "a text, written as words") or "",
        match=match,
        checks={name: spec for name, spec in checks.items() if spec},
        rules=_in_mode(mode, rollout.with_share([rule for rule in rules.values() if rule], share)),
        on_error=reading.choice(merged.get("on_error"), ON_ERROR, place="on_error") or "block",
        unmapped=reading.choice(merged.get("unmapped"), UNMAPPED, place="unmapped") or "scan",
        keep=audit.keep,
        subject=audit.subject,
        intent=audit.intent,
        opaque=_opaque(reading, merged.get("opaque")),
        token_ids=reading.choice(merged.get("token_ids"), PASSES, place="passes") or "refuse",
        fields=read_fields(reading, merged),
        mode=mode,
        sections=sections,
        share=share,
        formats=() if tenant else tuple(section.declaration for section in file.formats),
        tests=() if tenant else read_tests(reading, file.keys.get("tests"), tuple(rules), tuple(checks), limits),
        source=file.path,
        tenant=tenant,
        root=chain[0].name,
        place=place,
        places={key: node.key for key, node in merged.items()},
        unused=tuple((name, node.key) for name, node in file.scope.items() if name not in used),
    )


def _in_mode(mode: Mode, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Returns the rules of a policy in this mode; in shadow mode no rule is enforced."""
    return tuple(replace(rule, mode="shadow", share=None) for rule in rules) if mode == "shadow" else rules


def _exactly(text: str) -> str:
    """Returns a glob that matches only this text."""
    return re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", text)


def _checks(reading: FileReading, node: YamlNode | None) -> dict[str, CheckSpec | None]:
    """Returns all checks of the file, by name; `None` for a check that could not be read, so that rules may name it."""
    if node is None:
        return {}
    entries = reading.mapping(node, "a mapping of check names, like `pii: {use: pii}`") or {}
    return {name: _check(reading, name, value) for name, value in entries.items()}


def _check(reading: FileReading, name: str, node: YamlNode) -> CheckSpec | None:
    if name in RESERVED:
        reading.fail(node.key, f"`{name}` is a reserved word in `when`; give the check another name")
    elif not _CHECK_NAME.fullmatch(name):
        reading.fail(node.key, "the name of a check begins with a-z and continues with a-z, 0-9, `_` and `-`")
    entries = reading.mapping(node, "a mapping with `use`, like `{use: pii}`")
    if entries is None:
        return None
    if "use" not in entries:
        instead = next((key for key in entries if "`use`" in foreign("option", key)), "")
        reading.fail(node.place, "`use` is missing" + (f"; write `use` instead of `{instead}`" if instead else ""))
    use = reading.word(entries.get("use"))
    options = {key: value.plain() for key, value in entries.items() if key not in ("use", "on_error")}
    places: dict[str, FilePlace] = {}
    for key, value in entries.items():
        places[key] = value.key
        if isinstance(value.value, tuple):
            places |= {f"{key}[{number}]": item.place for number, item in enumerate(value.value)}
    on_error = reading.choice(entries.get("on_error"), ON_ERROR, place="on_error")
    return CheckSpec(use or "", options, node.key, places, on_error=on_error)


def _opaque(reading: FileReading, node: YamlNode | None) -> frozenset[str]:
    """Returns the kinds of content that are refused."""
    if node is None:
        return frozenset()
    if not isinstance(node.value, Mapping):
        return frozenset(MEDIA if reading.choice(node, PASSES, place="passes") == "refuse" else ())
    keys = reading.entries(node, "`pass`, `refuse`, or a mapping like `{image: pass, audio: refuse}`", MEDIA)
    return frozenset(name for name, value in keys.items() if reading.choice(value, PASSES, place="passes") == "refuse")


class _Audit(NamedTuple):
    """What a policy says about records."""

    keep: Keep = "redacted"
    intent: Intent = "on"
    subject: str = "user"


def _audit(reading: FileReading, node: YamlNode | None) -> _Audit:
    if node is None:
        return _Audit()
    keys = reading.entries(node, "a mapping like `{keep: redacted}`", tuple(tables.AUDIT))
    keep = reading.choice(keys.get("keep"), KEEP, later=("full",), place="keep") or "redacted"
    subject = reading.word(keys.get("subject"), tables.WANTED_SUBJECT)
    if subject is not None and not re.fullmatch(tables.SUBJECT, subject):
        reading.fail(keys["subject"].place, f"`subject` must be {tables.WANTED_SUBJECT}")
    if "subject" in keys and keep != "sealed":
        reading.fail(keys["subject"].key, "`subject` says whose key seals the texts, so it needs `keep: sealed`")
    return _Audit(keep, reading.choice(keys.get("intent"), INTENT) or "on", (subject or "user").lower())
