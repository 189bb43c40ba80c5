"""Trees of policy files -> policies.

In: what a folder's files hold. Out: frozen `Policy` values, those of tenants' overrides after that of their file, and
everything that is wrong with the files, with file, line and column. Kept: nothing. Which options the checks take is found out
when they are built.

A policy that extends another is read as one tree: the other's, with its own laid over (`extending.py`); variables are put in
before that (`variables.py`), those of the policy that extends last, so that it may set a variable of its baseline again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from guardproxy.errors import PolicyError
from guardproxy.policy import keys as tables
from guardproxy.policy import rollout
from guardproxy.policy.cases import read_tests
from guardproxy.policy.document import (
    INTENT,
    KEEP,
    MEDIA,
    ON_ERROR,
    PASSES,
    UNMAPPED,
    CheckSpec,
    Intent,
    Keep,
    Policy,
)
from guardproxy.policy.expression import RESERVED
from guardproxy.policy.extending import loosened, overlaid
from guardproxy.policy.matching import is_any, read_match
from guardproxy.policy.reading import Reading, did_you_mean
from guardproxy.policy.rules import read_rules
from guardproxy.policy.tree import Node, Place, entries, read_tree
from guardproxy.policy.variables import Beside, Scope, read_scope, substituted

_CHECK_NAME = re.compile(tables.CHECK_NAME)
_WANTED = "a mapping that begins with `policy: some-name`"


@dataclass(slots=True)
class _File:
    """One file. `reading` has its mistakes, `keys` what it says, `scope` its variables; `extends`: the policy under it."""

    path: str
    root: Node
    reading: Reading
    keys: Mapping[str, Node]
    name: str
    scope: Scope = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)  # of each tenant
    extends: str = ""
    # By tenant, the empty one for the file itself; nothing after a mistake.
    policies: Mapping[str, Policy] = field(default_factory=dict)
    done: bool = False

    def tenants(self) -> Mapping[str, Node]:
        """The overrides of each tenant: mappings."""
        node = self.keys.get("tenants")
        tenants = node.value if node and isinstance(node.value, Mapping) else {}
        return {name: one for name, one in tenants.items() if isinstance(one.value, Mapping)}


def read_policies(files: Iterable[tuple[str, bytes | str]], beside: Beside | None = None) -> list[Policy | PolicyError]:
    """The policies of some files (path, content), in their order, and everything that is wrong with them. `beside`: the files
    that they name."""
    read: list[_File | PolicyError] = [_opened(path, content, beside) for path, content in files]
    named: dict[str, _File] = {}
    for file in read:
        if isinstance(file, _File):
            named.setdefault(file.name, file)
    for file in read:
        if isinstance(file, _File) and (chain := _chain(file, named)):
            _read(chain)
    out: list[Policy | PolicyError] = []
    for file in read:
        if isinstance(file, PolicyError):
            out.append(file)
            continue
        errors = sorted(file.reading.errors, key=lambda error: (error.path != file.path, error.line, error.column))
        out += {str(error): error for error in errors}.values() if errors else file.policies.values()
    return out


def _opened(path: str, content: bytes | str, beside: Beside | None) -> _File | PolicyError:
    try:
        root = read_tree(content, path)
    except PolicyError as error:
        return error
    reading = Reading(path)
    extends = isinstance(root.value, Mapping) and "extends" in root.value
    asked = tuple(name for name in tables.needed(tables.POLICY) if not (extends and name == "rules"))
    keys = reading.entries(root, _WANTED, tuple(tables.POLICY), needed=asked)
    file = _File(path, root, reading, keys, reading.name(keys.get("policy")) or "")
    file.extends = reading.name(keys.get("extends")) or ""
    file.scope = read_scope(reading, keys, beside)
    _check_tenants(reading, keys.get("tenants"))
    file.scopes = {tenant: read_scope(reading, entries(node), beside) for tenant, node in file.tenants().items()}
    return file


def _check_tenants(reading: Reading, node: Node | None) -> None:
    entries = (reading.mapping(node, "a mapping from tenants to what is stricter for them") if node else None) or {}
    for value in entries.values():
        found = reading.entries(value, "a mapping like `{vars: {limit: 0.5}}`", tuple(tables.TENANT))
        if value.value == {}:
            reading.fail(value.place, "an empty mapping overrides nothing")
        rules = found.get("rules")
        for item in reading.items(rules, "a list of rules") if rules else ():
            reading.entries(item, "a mapping with `id`", tuple(tables.RULE), needed=("id",))


def _chain(file: _File, named: Mapping[str, _File]) -> list[_File]:
    """The file after those that it extends; empty where they cannot be told."""
    chain, names = [file], [file.name]
    while chain[0].extends:
        other = named.get(chain[0].extends)
        node = file.keys.get("extends")
        if other is None:
            if len(chain) == 1 and node:
                near = did_you_mean(file.extends, [name for name in named if name != file.name])
                file.reading.fail(node.place, f"unknown policy `{file.extends}`{near}")
            return []
        names.append(other.name)
        if any(other is one for one in chain):
            if other is file and node:
                file.reading.fail(node.place, f"a circle: {' extends '.join(f'`{name}`' for name in names)}")
            return []
        chain.insert(0, other)
    return chain


def _read(chain: list[_File]) -> None:
    """The policies of the last file of a chain."""
    file, errors = chain[-1], chain[-1].reading.errors
    if file.done:
        return
    file.done = True
    before: Mapping[str, Policy] = {}
    if chain[1:]:
        _read(chain[:-1])
        before = chain[-2].policies
        if not before:  # its own mistakes come first
            return
    policies: dict[str, Policy] = {}
    for tenant in ("", *dict.fromkeys(name for one in chain for name in one.tenants())):
        count = len(errors)
        if tenant and not is_any(policies[""].match.tenants, tenant):
            if tenant in file.tenants():
                place = file.tenants()[tenant].key
                file.reading.fail(place, f"`match` is not for the tenant `{tenant}`, so this can never count")
            continue
        mine = _policy(chain, tenant)
        under = [one for one in (policies.get(""), before.get(tenant)) if one]
        if len(errors) == count:
            for one in under:
                for place, message in loosened(one, mine):
                    file.reading.fail(place, message)
        if errors and not tenant:
            return
        names = {
            name
            for one in (*under, *before.values())
            if one.tenant in ("", tenant)
            for name in (one.name, *one.stands_for)
        }
        policies[tenant] = replace(mine, stands_for=frozenset(names))
    if not errors:
        file.policies = policies


def _policy(chain: list[_File], tenant: str) -> Policy:
    """The last file's policy, with what it extends and the overrides of a tenant."""
    file, reading = chain[-1], chain[-1].reading
    scope: Scope = {}
    for one in chain:
        scope |= one.scope
    overrides = [(one, entries(one.tenants()[tenant])) for one in chain if tenant in one.tenants()]
    for one, _ in overrides:
        scope |= one.scopes[tenant]
    used: set[str] = set()
    merged: Mapping[str, Node] = {}
    own: Mapping[str, Node] = {}
    for one, said in [*((one, one.keys) for one in chain), *overrides]:
        mine = substituted(reading, said, scope, one.scope, used)
        if one is not file:
            mine = {key: node.located(one.path) for key, node in mine.items()}
        elif not own:
            own = mine
        merged = overlaid(merged, mine)
    checks = _checks(reading, merged.get("checks"))
    rules = read_rules(reading, merged.get("rules"), tuple(checks))
    match = read_match(reading, own.get("match"))
    name = file.name
    if tenant:
        name = f"{name}@{tenant}"
        key = overrides[-1][0].tenants()[tenant].key
        where = Place(key.line, key.column, key.path or overrides[-1][0].path)
        match = replace(match, tenants=(_exactly(tenant),), places={**match.places, "tenants[0]": where})
    place = file.keys["policy"].place if "policy" in file.keys else file.root.place
    keep, intent = _audit(reading, merged.get("audit"))
    return Policy(
        name=name,
        description=reading.word(file.keys.get("description"), "a text, written as words") or "",
        match=match,
        checks={name: spec for name, spec in checks.items() if spec},
        rules=rollout.shared(
            [rule for rule in rules.values() if rule], rollout.read_share(reading, merged.get("enforce"))
        ),
        on_error=reading.choice(merged.get("on_error"), ON_ERROR) or "block",
        unmapped=reading.choice(merged.get("unmapped"), UNMAPPED) or "scan",
        keep=keep,
        intent=intent,
        opaque=_opaque(reading, merged.get("opaque")),
        token_ids=reading.choice(merged.get("token_ids"), PASSES) or "refuse",
        tests=() if tenant else read_tests(reading, file.keys.get("tests"), tuple(rules), tuple(checks)),
        source=file.path,
        tenant=tenant,
        root=chain[0].name,
        place=place,
        places={key: node.key for key, node in merged.items()},
        unused=tuple((name, node.key) for name, node in file.scope.items() if name not in used),
    )


def _exactly(text: str) -> str:
    """A glob that only this text matches."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", text)


def _checks(reading: Reading, node: Node | None) -> dict[str, CheckSpec | None]:
    """All check names of the file; `None` for a check that could not be read, so that rules may still name it."""
    if node is None:
        return {}
    entries = reading.mapping(node, "a mapping of check names, like `pii: {use: pii}`") or {}
    return {name: _check(reading, name, value) for name, value in entries.items()}


def _check(reading: Reading, name: str, node: Node) -> CheckSpec | None:
    if name in RESERVED:
        reading.fail(node.key, f"`{name}` has a meaning of its own in `when`; give the check another name")
    elif not _CHECK_NAME.fullmatch(name):
        reading.fail(node.key, "the name of a check begins with a-z and goes on with a-z, 0-9, `_` and `-`")
    entries = reading.mapping(node, "a mapping with `use`, like `{use: pii}`")
    if entries is None:
        return None
    if "use" not in entries:
        reading.fail(node.place, "`use` is missing")
    use = reading.word(entries.get("use"))
    options = {key: value.plain() for key, value in entries.items() if key not in ("use", "on_error")}
    places: dict[str, Place] = {}
    for key, value in entries.items():
        places[key] = value.key
        if isinstance(value.value, tuple):
            places |= {f"{key}[{number}]": item.place for number, item in enumerate(value.value)}
    on_error = reading.choice(entries.get("on_error"), ON_ERROR)
    return CheckSpec(use or "", options, node.key, places, on_error=on_error)


def _opaque(reading: Reading, node: Node | None) -> frozenset[str]:
    """The kinds of content that are refused."""
    if node is None:
        return frozenset()
    if not isinstance(node.value, Mapping):
        return frozenset(MEDIA if reading.choice(node, PASSES) == "refuse" else ())
    keys = reading.entries(node, "`pass`, `refuse`, or a mapping like `{image: pass, audio: refuse}`", MEDIA)
    return frozenset(name for name, value in keys.items() if reading.choice(value, PASSES) == "refuse")


def _audit(reading: Reading, node: Node | None) -> tuple[Keep, Intent]:
    if node is None:
        return "redacted", "on"
    keys = reading.entries(node, "a mapping like `{keep: redacted}`", tuple(tables.AUDIT))
    keep = reading.choice(keys.get("keep"), KEEP, later=("sealed", "full")) or "redacted"
    return keep, reading.choice(keys.get("intent"), INTENT) or "on"
