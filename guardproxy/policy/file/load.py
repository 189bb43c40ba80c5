"""Loads a folder of policy files: the policies, their digest, and the checks that they use.

In: the path of a folder. Out: frozen values, or a `PolicyErrors` with every error of all files. Only `load_folder` and
`load_file` read files; loading a folder again returns new values.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from errno import EFBIG, ENOENT
from pathlib import Path
from types import MappingProxyType

from guardproxy import checks
from guardproxy.decisions import Confirm, Edit
from guardproxy.errors import GuardproxyError, OptionError, PolicyError
from guardproxy.policy.file.conflicts import conflicts
from guardproxy.policy.file.reader import read_policies
from guardproxy.policy.values import acting
from guardproxy.policy.values.actions import decides
from guardproxy.policy.values.document import CheckSpec, Policy
from guardproxy.policy.yaml.tree import LIMIT_BYTES

SUFFIXES = (".yaml", ".yml")

Key = tuple[str, str]


class Files:
    """The files that policies name, such as lists. `read` reads a file; `digest` covers all files that were read. `instead`:
    the content of files that are not read from the folder, by their names: they need not be there."""

    def __init__(self, folder: Path | str, instead: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self.folder = Path(folder)
        self.instead = instead
        self._read: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file, by its path below the folder. Raises `OSError`, also for a path that leads out
        of the folder."""
        if path not in self._read:
            inside = self.folder.resolve()
            # Links are followed before the comparison, so none of them leads out of the folder.
            target = (inside / path).resolve()
            if (draft := self.instead.get(os.path.relpath(target, inside))) is not None:
                self._read[path] = draft
                return draft
            if not target.is_relative_to(inside) or not target.is_file():
                raise FileNotFoundError(ENOENT, "no such file in the policies' folder")
            with target.open("rb") as file:
                content = file.read(LIMIT_BYTES + 1)
            if len(content) > LIMIT_BYTES:
                raise OSError(EFBIG, f"larger than {LIMIT_BYTES} bytes")
            self._read[path] = content
        return self._read[path]

    def display_path(self, path: str) -> str:
        """Returns the path as messages show it."""
        return str(self.folder / path)

    def digest(self, policies: str) -> str:
        """Returns the digest of policies together with the files that they name."""
        if not self._read:
            return policies
        digest = hashlib.sha256(policies.encode())
        for path, content in sorted(self._read.items()):
            for part in (path.encode(errors="surrogateescape"), content):
                digest.update(len(part).to_bytes(8, "big") + part)
        return f"sha256:{digest.hexdigest()}"


class PolicyErrors(PolicyError):
    """All errors of policy files. `str()` gives a line `file:line:column: message` for each error."""

    def __init__(self, errors: Sequence[PolicyError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


def parse(content: bytes | str, path: str) -> Policy:
    """Returns the policy of a file's content, without its tenants. `path`: for messages only. Raises `PolicyErrors`."""
    return parse_all([(path, content)])[0]


def parse_all(files: Iterable[tuple[str, bytes | str]], beside: Files | None = None) -> tuple[Policy, ...]:
    """Returns the policies of several files (path, content). Raises `PolicyErrors` if any file has an error."""
    results = read_policies(files, beside)
    policies = [result for result in results if isinstance(result, Policy)]
    errors = [*(result for result in results if isinstance(result, PolicyError)), *_same_names(policies)]
    errors += conflicts(policies)
    if errors:
        raise PolicyErrors(errors)
    return tuple(policies)


def load_folder(folder: Path | str, files: Files | None = None) -> tuple[tuple[Policy, ...], str]:
    """Returns the policies of all `*.yaml` and `*.yml` files of a folder, by file name, and a digest of names and
    bytes.

    `files`: reads the files that the policies name. Hidden files and subfolders are ignored. Raises `PolicyErrors` if
    any file has an error.
    """
    files = files or Files(folder)
    return _load(_files(Path(folder), files.instead), files)


def load_file(path: Path, files: Files) -> tuple[tuple[Policy, ...], str]:
    """Loads a single policy file, as `load_folder` does for a folder that holds no other policy."""
    return _load([path], files)


def _load(paths: Iterable[Path], beside: Files) -> tuple[tuple[Policy, ...], str]:
    contents: list[tuple[str, bytes]] = []
    errors: list[PolicyError] = []
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = _content(path) if path.name not in beside.instead else beside.instead[path.name]
        except PolicyError as error:
            errors.append(error)
            continue
        for part in (path.name.encode(errors="surrogateescape"), content):
            # lengths distinguish `a` + `bc` from `ab` + `c`
            digest.update(len(part).to_bytes(8, "big") + part)
        contents.append((str(path), content))
    try:
        policies = parse_all(contents, beside)
    except PolicyErrors as wrong:
        errors += wrong.errors
    if errors:
        raise PolicyErrors(errors)
    return policies, f"sha256:{digest.hexdigest()}"


def _files(folder: Path, more: Iterable[str]) -> list[Path]:
    try:
        entries = sorted({*folder.iterdir(), *(folder / name for name in more)})
    except OSError as error:
        message = f"cannot read the policy folder: {_reason(error)}"
        raise PolicyErrors([PolicyError(message, str(folder), 1, 1)]) from None
    # A dangling link or a device with such a name is an error when it is read: ignoring it would drop its rules
    # silently.
    files = [path for path in entries if _is_policy(path)]
    if not files:
        message = "no policy files; write one here, or copy a shipped one: `guardproxy policy init`"
        raise PolicyErrors([PolicyError(message, str(folder), 1, 1)])
    return files


def _is_policy(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise PolicyError("not a regular file", str(path), 1, 1)
    try:
        with path.open("rb") as file:
            return file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise PolicyError(f"cannot read the file: {_reason(error)}", str(path), 1, 1) from None


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _same_names(policies: Iterable[Policy]) -> list[PolicyError]:
    first: dict[str, Policy] = {}
    errors = []
    for policy in policies:
        if policy.tenant:
            continue
        other = first.setdefault(policy.name, policy)
        if other is not policy:
            message = f"duplicate policy `{policy.name}`, first in {other.source}"
            errors.append(PolicyError(message, policy.source, policy.place.line, policy.place.column))
    return errors


def build_checks(policies: Sequence[Policy], resources: checks.Resources) -> Mapping[Key, checks.Check]:
    """Builds the check for each (policy name, check name); equal checks of several policies are a single object.

    A check is named as in the files, or `policy.check` if files use that name for different checks; findings carry
    this name. Raises `PolicyErrors` with the place of each option that a check does not accept.
    """
    users: dict[str, list[tuple[Key, Policy, CheckSpec]]] = {}
    for policy in policies:
        for name, spec in policy.checks.items():
            users.setdefault(_same(spec), []).append(((policy.name, name), policy, spec))
    meanings: dict[str, set[str]] = {}
    for same, group in users.items():
        for (_, name), _, _ in group:
            meanings.setdefault(name, set()).add(same)
    built: dict[Key, checks.Check] = {}
    errors: list[PolicyError] = []
    for group in users.values():
        keys = sorted((key for key, _, _ in group), key=lambda key: (key[1], key[0]))
        called = next((name for _, name in keys if len(meanings[name]) == 1), ".".join(keys[0]))
        spec = group[0][2]
        try:
            check = checks.build(spec.use, called, spec.options, resources)
        except GuardproxyError as error:
            errors += (_at_option(error, policy, spec) for _, policy, spec in group)
            continue
        built.update(dict.fromkeys(keys, check))
    errors += _nothing_to_cut(policies, built)
    errors += _nothing_to_ask(policies, built)
    errors += acting.faults(policies, built)
    if errors:
        raise PolicyErrors(errors)
    return built


def _nothing_to_cut(policies: Sequence[Policy], built: Mapping[Key, checks.Check]) -> list[PolicyError]:
    """Returns errors for rules that redact findings without a span, because their check reads an answer as a whole."""
    return [
        PolicyError(
            f"`{name}` reads an answer as a whole, so there is nothing to redact; use the action retry or block",
            rule.place.path or policy.source,
            rule.place.line,
            rule.place.column,
        )
        for policy in policies
        for rule in policy.rules
        if decides(rule.action, Edit)
        for name in sorted(rule.when.names())
        if (check := built.get((policy.name, name))) and check.traits.judges_whole
    ]


def _nothing_to_ask(policies: Sequence[Policy], built: Mapping[Key, checks.Check]) -> list[PolicyError]:
    """Returns errors for rules that ask a person about a call because of a check that reads it when all rules have decided."""
    return [
        PolicyError(
            f"`{name}` reads a call after the person would have been asked; use the action block",
            rule.place.path or policy.source,
            rule.place.line,
            rule.place.column,
        )
        for policy in policies
        for rule in policy.rules
        if decides(rule.action, Confirm)
        for name in sorted(acting.checks_used(policy, rule))
        if (check := built.get((policy.name, name))) and check.traits.needs_masked
    ]


def _same(spec: CheckSpec) -> str:
    """Returns a text that is equal for equal checks. Unlike `==`, it distinguishes 1 from 1.0 and from true."""
    return json.dumps([spec.use, spec.options], sort_keys=True)


def _at_option(error: GuardproxyError, policy: Policy, spec: CheckSpec) -> PolicyError:
    place = spec.place
    if isinstance(error, OptionError):
        place = spec.places.get(error.key, place)
        place = spec.places.get(f"{error.key}[{error.item}]", place)
    return PolicyError(str(error), place.path or policy.source, place.line, place.column)
