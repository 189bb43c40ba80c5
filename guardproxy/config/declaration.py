"""The declaration of a setting: its type, its default, its allowed values, and its names as flag, variable and key."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from guardproxy.errors import ConfigError

GROUPED = 10_000  # numbers from here on are shown with grouped digits
Value = TypeVar("Value")
_KINDS = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "Path": Path,
    "Path | None": Path,
    "tuple[str, ...]": tuple,
}
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    tuple: "a list",
}
_ANY_PATH = re.compile(r"(?P<path>.+)", re.DOTALL)
_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class AllowedValues:
    """The allowed values of a setting. `least`, `above`, `most`: bounds of a number. `choices`: the only values.
    `is_right`: returns whether a value, or an item of a list, has the form that `form` describes; it may raise `ValueError`
    for one that has not."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    form: str = ""
    is_right: Callable[[Any], bool] | None = None

    def accepts(self, value: Any) -> bool:
        """Whether a value of the right type is within the bounds and has the form. NaN is never accepted."""
        items = value if isinstance(value, tuple) else (value,)
        return all(self._accepts(item) for item in items)

    def _accepts(self, item: Any) -> bool:
        within = (
            (self.least is None or item >= self.least)
            and (self.above is None or item > self.above)
            and (self.most is None or item <= self.most)
        )
        if not within or (self.choices and item not in self.choices):
            return False
        with suppress(ValueError):  # such as an address that cannot be read
            return self.is_right is None or self.is_right(item)
        return False

    def __str__(self) -> str:
        bounds = (("at least", self.least), ("above", self.above), ("at most", self.most))
        return (
            self.form
            or " or ".join(self.choices)
            or " and ".join(f"{word} {n:g}" for word, n in bounds if n is not None)
        )


def split_address(entry: str) -> SplitResult:
    """Returns the parts of an address. Raises `ValueError` for an address that no request can use."""
    parts = urlsplit(entry)
    if parts.port == 0 or " " in parts.netloc or not entry.isprintable():
        raise ValueError
    return parts


ANY = AllowedValues()
POSITIVE = AllowedValues(least=0.01)


@dataclass(frozen=True, slots=True)
class Declaration:
    """The declaration of a setting. `part`, `attribute`: where `Config` has its value. `group`: the title of the part. `help`:
    its purpose. `flag`, `off_flag`: its flag, and the flag that turns a switch off. `is_secret`: whether its value must not be
    shown. `path`: matches a value, or an item of a list, that names a file or folder; its group `path` is the path. `None`: the
    values are no paths."""

    name: str
    part: str
    attribute: str
    kind: type
    default: Any
    group: str
    help: str
    allowed: AllowedValues
    flag: str
    off_flag: str
    is_secret: bool
    path: re.Pattern[str] | None

    @classmethod
    def of(cls, part: Field[Any], declared: Field[Any]) -> Declaration:
        """Returns the declaration of a field of a part. `part`: the field of `Config` that has the part."""
        data = declared.metadata
        name, dashed = data["name"], data["name"].replace("_", "-")
        kind = _KINDS[str(declared.type)]
        off_flag = (data["off_flag"] or f"--no-{dashed}") if kind is bool else ""
        return cls(
            name=name,
            part=part.name,
            attribute=declared.name,
            kind=kind,
            default=declared.default,
            group=part.metadata["title"],
            help=data["help"],
            allowed=data["allowed"],
            flag=data["flag"] or f"--{dashed}",
            off_flag=off_flag,
            is_secret=not declared.repr,
            path=_ANY_PATH if kind is Path else data["path"],
        )

    def value_in(self, config: Any) -> Any:
        """Returns the value of the setting in a `Config`."""
        return getattr(getattr(config, self.part), self.attribute)

    @property
    def variable(self) -> str:
        """Returns the name of the environment variable."""
        return f"GUARDPROXY_{self.name.upper()}"

    @property
    def file_variable(self) -> str:
        """Returns the name of the environment variable that names a file with the value; empty for a setting that is no
        secret."""
        return f"{self.variable}_FILE" if self.is_secret else ""

    @property
    def names(self) -> str:
        """Returns all names of the setting, for messages: "`port` (--port, GUARDPROXY_PORT)"."""
        return f"`{self.name}` ({self.flag}, {self.variable})"

    @property
    def form(self) -> str:
        """Returns a description of the allowed values, for messages."""
        if self.allowed.form or self.allowed.choices:
            return str(self.allowed)
        return ", ".join(filter(None, (_WORDS[self.kind], str(self.allowed))))

    @property
    def shown_default(self) -> str:
        """Returns the default in readable form: `32 MiB`, `2,000`; empty if there is no default."""
        default = self.default
        if isinstance(default, bool):
            return str(default).lower()
        if isinstance(default, tuple):
            return ", ".join(default)
        if self.name.endswith("_bytes"):
            return f"{default // 1024**2} MiB"
        if isinstance(default, (int, float)):
            return f"{default:g}" if default < GROUPED else f"{default:,.0f}"
        return str(default or "")

    def below(self, folder: Path, value: Any) -> Any:
        """Returns a value of this setting with its relative paths below `folder`."""
        if self.path is None:
            return value
        if isinstance(value, tuple):
            return tuple(self._below(folder, item) for item in value)
        return Path(self._below(folder, str(value))) if self.kind is Path else self._below(folder, value)

    def _below(self, folder: Path, item: str) -> str:
        match = self.path.fullmatch(item) if self.path else None
        return f"{item[: match.start('path')]}{folder / match['path']}" if match else item

    def read(self, value: Any, where: str) -> Any:
        """Converts a value to the type of the setting. `where`: the source of the value, for messages. Raises
        `ConfigError`."""
        try:
            typed = _typed(self, value)
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{where}: `{self.name}` must be {self.form}") from None
        if not self.allowed.accepts(typed):
            raise ConfigError(f"{where}: `{self.name}` must be {self.allowed}")
        return typed


def _typed(setting: Declaration, value: Any) -> Any:
    kind = setting.kind
    if setting.name == "tenants" and isinstance(value, dict):
        pairs = ((key, [digest] if isinstance(digest, str) else digest) for key, digest in value.items())
        return tuple(f"{key}={digest}" for key, digests in pairs for digest in digests)
    if "\0" in str(value):  # no file, host or header can have it
        raise ValueError
    if kind is tuple:
        if not isinstance(value, (str, list, tuple)):
            raise TypeError
        items = value.split(",") if isinstance(value, str) else value
        return tuple(text for item in items if (text := str(item).strip()))
    if isinstance(value, (list, tuple, dict)):
        raise TypeError
    if kind is bool:
        return _SWITCH[str(value).lower()]
    if kind in (int, float) and (isinstance(value, bool) or (kind is int and isinstance(value, float))):
        raise TypeError
    return Path(str(value)) if kind is Path else kind(value)


def part(title: str, default: Value) -> Value:
    """Declares a field of `Config` that has settings. `title`: of their group in the help and in the documentation."""
    return field(default=default, metadata={"title": title})


def setting(
    name: str,
    default: Value,
    help: str,
    allowed: AllowedValues = ANY,
    *,
    flag: str = "",
    off_flag: str = "",
    is_secret: bool = False,
    path: re.Pattern[str] | None = None,
) -> Value:
    """Declares a field of a part of `Config`. `name`: what users call the setting. `flag`, `off_flag`: only if they differ from
    those derived from the name. `path`: see `Declaration`; only for texts, as a `Path` always is one."""
    data = {"name": name, "help": help, "allowed": allowed, "flag": flag, "off_flag": off_flag, "path": path}
    return field(default=default, repr=not is_secret, metadata=data)
