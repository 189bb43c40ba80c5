"""A user's own recognizers: files in Presidio's format, and classes.

In: names from a policy. Out: recognizers for a language, and a digest. The loader of policies reads the files; Presidio's own
code builds recognizers from them. A pattern that could take too long is refused here:

Each place where a pattern repeats a part without a bound is tested with a text: characters that lead up to the place,
the repeated part up to `LONG` characters in a row, and a character that matches nowhere. `LONG` is more than a search
ever reads at once. A pattern that needs more than `LIMIT_S` for one of these texts is refused. This finds nested
repeats, and adjacent repeats that share characters. It does not prove that no slower text exists, so each search has a
time limit of its own.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import regex
import yaml

from guardproxy.checks._shared.pii.cover import UncoveredError, parse
from guardproxy.checks._shared.pii.recognizers import classes, presidio
from guardproxy.errors import OptionError

LONG = 8192
LIMIT_S = 0.5
_SIZES = (24, 256, LONG)
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class CustomRecognizers:
    """The recognizers in the option `recognizers`. `build(language)` returns them, `digest` identifies them. `code`:
    whether a class may be imported."""

    def __init__(self, entries: list[str], read: Callable[[str], bytes] | None, code: bool = False) -> None:
        self._makers: list[Callable[[str], list[Any]]] = []
        parts: list[str] = []
        for entry in entries:
            if entry.endswith((".yaml", ".yml")):
                content = _content(entry, read)
                parts.append(hashlib.sha256(content).hexdigest())
                self._makers.append(_file(entry, content))
            else:
                kind = _class(entry, code)
                parts.append(f"{entry}={_code(kind)}")
                self._makers.append(_instances(entry, kind))
        self.digest = " ".join(parts)

    def build(self, language: str) -> list[Any]:
        """Returns the recognizers for a language. Raises `OptionError`."""
        recognizers = [recognizer for maker in self._makers for recognizer in maker(language)]
        for recognizer in recognizers:
            for pattern in getattr(recognizer, "patterns", ()):
                if (
                    pattern not in getattr(type(recognizer), "PATTERNS", ())
                    or type(recognizer) not in classes().values()
                ):
                    _refuse_slow(recognizer, pattern)
        return recognizers


def _content(path: str, read: Callable[[str], bytes] | None) -> bytes:
    if read is None:
        raise OptionError("recognizers", f"`{path}` can be read only for a policy in a folder of files")
    try:
        return read(path)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise OptionError("recognizers", f"cannot read `{path}`: {reason}") from None


def _file(path: str, content: bytes) -> Callable[[str], list[Any]]:
    try:
        tree = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError("recognizers", f"`{path}` is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("recognizers"), list):
        raise OptionError("recognizers", f"`{path}` must have a list `recognizers`, as Presidio's own files have")

    def build(language: str) -> list[Any]:
        _refuse_models(path, tree["recognizers"])
        from presidio_analyzer.recognizer_registry import RecognizerRegistryProvider  # noqa: PLC0415

        flags = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
        configuration = {"global_regex_flags": int(flags), **tree, "supported_languages": [language]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                registry = RecognizerRegistryProvider(registry_configuration=configuration).create_recognizer_registry()
        except Exception as error:
            raise OptionError("recognizers", f"Presidio refuses `{path}`: {' '.join(str(error).split())}") from None
        return [recognizer for recognizer in registry.recognizers if recognizer.supported_language == language]

    return build


def _refuse_models(path: str, entries: list[Any]) -> None:
    """Refuses Presidio's classes that load a model or call a service. They are never instantiated: that runs code and
    may fetch files."""
    presidio()
    from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerListLoader  # noqa: PLC0415

    known = {kind.__name__: kind for kind in RecognizerListLoader.get_all_existing_recognizers()}
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {"name": entry}
        kinds = (known.get(name) for key in ("class_name", "name") if isinstance(name := fields.get(key), str))
        for kind in kinds:
            if kind is not None and kind not in classes().values() and fields.get("enabled", True) is not False:
                raise OptionError("recognizers", f"`{path}`: {kind.__name__} needs a model or a service; disable it")


def _class(entry: str, code: bool) -> Any:
    module, _, name = entry.partition(":")
    if not module or not name:
        raise OptionError("recognizers", f"`{entry}` is neither a file `name.yaml` nor a class `package.module:Class`")
    if not code:
        raise OptionError(
            "recognizers",
            f"`{entry}` is code, which reading a policy does not run; if you trust it, add --allow-code (for the proxy "
            "also the setting `allow_code`)",
        )
    presidio()
    from presidio_analyzer import EntityRecognizer  # noqa: PLC0415

    try:
        kind = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise OptionError("recognizers", f"cannot import `{entry}`: {type(error).__name__}: {error}") from None
    if not (isinstance(kind, type) and issubclass(kind, EntityRecognizer)):
        raise OptionError("recognizers", f"`{entry}` is not a subclass of Presidio's EntityRecognizer")
    return kind


def _code(kind: Any) -> str:
    """Returns a digest of the file that a class is in."""
    try:
        code = inspect.getsource(sys.modules[kind.__module__])
    except (OSError, TypeError):
        code = ""
    return hashlib.sha256(code.encode()).hexdigest()


def _instances(entry: str, kind: Any) -> Callable[[str], list[Any]]:
    def build(language: str) -> list[Any]:
        try:
            takes = "supported_language" in inspect.signature(kind).parameters
            recognizer = kind(supported_language=language) if takes else kind()
        except Exception as error:
            raise OptionError("recognizers", f"cannot make a `{entry}`: {type(error).__name__}: {error}") from None
        return [recognizer] if recognizer.supported_language == language else []

    return build


def _refuse_slow(recognizer: Any, pattern: Any) -> None:
    flags = int(recognizer.global_regex_flags)
    where = f"{recognizer.name}, pattern `{pattern.name}`"
    try:
        tree = parse(pattern.regex, flags)[0]
        exact = regex.compile(pattern.regex, flags)
    except (UncoveredError, regex.error) as error:
        raise OptionError("recognizers", f"{where}: {error}") from None
    for text in attacks(tree):
        try:
            exact.search(text, timeout=LIMIT_S)
        except TimeoutError:
            raise OptionError(
                "recognizers",
                f"{where} takes too long on a text of {len(text)} characters like `{text[:24]}...`: "
                "avoid repeats that can match the same text in two ways, and set bounds (`{1,64}` instead of `+`)",
            ) from None


def attacks(tree: Any) -> Iterator[str]:
    """Returns texts on which a pattern that backtracks too much is slow."""
    for likes in ("a0A .-_@/:", "0aA-. _@/:"):
        whole = _example(tree, likes)  # a module that first searches for a required part does not give up at once
        for lead, repeated in _repeats(tree, "", likes):
            for size in _SIZES:
                for end in ("\x00", " ", "", f"\x00{whole}"):
                    yield lead + (repeated * size)[:size] + end


def _repeats(tree: Any, lead: str, likes: str) -> Iterator[tuple[str, str]]:
    """Yields the text that leads up to each unbounded repeat, and the repeated part."""
    for operation, value in tree:
        for inside in _inner(str(operation), value):
            yield from _repeats(inside, lead, likes)
        if str(operation) in _REPEATS and int(value[1]) > 32:
            for repeated in _branches(value[2]):
                yield lead, _example(repeated, likes) or "a"
        lead += _example([(operation, value)], likes)


def _inner(kind: str, value: Any) -> list[Any]:
    """Returns the patterns inside of a part of a pattern."""
    if kind in _REPEATS:
        return [value[2]]
    if kind == "BRANCH":
        return list(value[1])
    if kind == "SUBPATTERN":
        return [value[3]]
    if kind in ("ASSERT", "ASSERT_NOT"):
        return [value[1]]
    return [value] if kind == "ATOMIC_GROUP" else []


def _branches(tree: Any) -> list[Any]:
    """Returns the alternatives of a pattern, or the pattern itself."""
    if len(tree) == 1 and str(tree[0][0]) in ("BRANCH", "SUBPATTERN", "ATOMIC_GROUP"):
        return [branch for inside in _inner(str(tree[0][0]), tree[0][1]) for branch in _branches(inside)]
    return [tree]


def _example(tree: Any, likes: str) -> str:
    """Returns a text that a pattern matches, or nearly. Of a class it takes the first of the characters in `likes`."""
    out = ""
    for operation, value in tree:
        kind = str(operation)
        if kind == "LITERAL":
            out += chr(value)
        elif kind == "IN":
            out += _one_of([(str(item), what) for item, what in value], likes)
        elif kind in ("ANY", "NOT_LITERAL"):
            out += likes[0]
        elif kind in _REPEATS:
            out += _example(value[2], likes) * max(1, min(int(value[0]), 64))
        elif kind in ("BRANCH", "SUBPATTERN", "ATOMIC_GROUP"):
            out += _example(_inner(kind, value)[0], likes)
    return out


def _one_of(items: list[tuple[str, Any]], likes: str) -> str:
    """Returns a character of a class, preferably one that other repeats are likely to take as well."""
    for letter in likes:
        if _holds(items, letter):
            return letter
    return next(
        (chr(value if kind == "LITERAL" else value[0]) for kind, value in items if kind in ("LITERAL", "RANGE")), "a"
    )


_CATEGORY = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}  # fmt: skip


def _holds(items: list[tuple[str, Any]], letter: str) -> bool:
    negated = items[0][0] == "NEGATE"
    found = False
    for kind, value in items[negated:]:
        if kind == "LITERAL":
            found = found or ord(letter) == value
        elif kind == "RANGE":
            found = found or value[0] <= ord(letter) <= value[1]
        else:
            found = found or re.match(_CATEGORY[str(value)], letter) is not None
    return found != negated
