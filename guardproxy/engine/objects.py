"""Files in object stores (S3, Google Cloud Storage, Azure), with the part of `pathlib.Path` that readers use.

In: URLs. Out: names, sizes and bytes of objects. Kept: a connection for each store, in each process.

A file is read by ranges, so a worker that reads a part of a file loads only this part. Credentials come from the environment,
as usual for the store.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

READ_BYTES = 1 << 20
SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "adl", "azure")


class ObjectStatus(NamedTuple):
    """The size of an object in bytes."""

    st_size: int


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """An object, or all objects below a prefix. `base`: the URL of the store without a path. `key`: the path in the store."""

    base: str
    key: str

    def __str__(self) -> str:
        return f"{self.base}/{self.key}"

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.base, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """Returns the last part of the path."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """Returns the name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> ObjectPath:
        """Returns the path without its last part."""
        return ObjectPath(self.base, self.key.rpartition("/")[0])

    def match(self, pattern: str) -> bool:
        """Whether the name matches a pattern."""
        return fnmatchcase(self.name, pattern)

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yields the objects directly below this prefix whose names match. Raises `OSError`."""
        with self._faults():
            listed = _store(self.base).list_with_delimiter(self.key or None)
        for entry in listed["objects"]:
            path = ObjectPath(self.base, entry["path"])
            if path.match(pattern):
                yield path

    def is_dir(self) -> bool:
        """Whether there is an object directly below this prefix. Raises `OSError`."""
        return any(True for _ in self.glob("*"))

    def is_file(self) -> bool:
        """Whether there is an object with this path. Raises `OSError`."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    exists = is_file

    def stat(self) -> ObjectStatus:
        """Returns the size. Raises `OSError`."""
        with self._faults():
            return ObjectStatus(_store(self.base).head(self.key)["size"])

    def read_bytes(self) -> bytes:
        """Returns the whole object. Raises `OSError`."""
        with self._faults():
            return bytes(_store(self.base).get(self.key).bytes())

    def read_range(self, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`, which is at most the size. Raises `OSError`."""
        with self._faults():
            return bytes(_store(self.base).get_range(self.key, start=start, end=end))

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Opens the object for reading. Raises `OSError`."""
        return cast(BinaryIO, io.BufferedReader(_Ranges(self, self.stat().st_size), READ_BYTES))

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns every error of the store into an `OSError` that names the object."""
        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(2, "no such object", str(self)) from None
        except ConfigError:
            raise
        except Exception as error:
            # The first line is for people; the further lines may show requests.
            words = str(error).partition("\n")[0] or type(error).__name__
            raise OSError(5, f"the object store refuses: {words}", str(self)) from None


class _Ranges(io.RawIOBase):
    """The bytes of an object."""

    def __init__(self, path: ObjectPath, size: int) -> None:
        self._path, self._size, self._at = path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if self._at >= end:
            return 0
        data = self._path.read_range(self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


AnyPath = Path | ObjectPath


def is_url(text: str) -> bool:
    """Whether a text names a place by URL, and not a local path."""
    return "://" in text


def path_at(text: str) -> AnyPath:
    """Returns the path that a text names: a local path, a `file://` URL, or the URL of an object store. Raises `ConfigError`
    for other URLs."""
    if not is_url(text):
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ConfigError(f"{text}: not a path, and not the URL of an object store (s3://, gs://, az://, file://)")
    path = ObjectPath(f"{parts.scheme}://{parts.netloc}", parts.path.strip("/"))
    _store(path.base)
    return path


def matching(folder: AnyPath, pattern: str) -> list[AnyPath]:
    """Returns what is directly in a folder and has a name that matches, by name. Raises `OSError`."""
    paths: list[AnyPath] = list(folder.glob(pattern))
    return sorted(paths, key=str)


def files_at(place: AnyPath, pattern: str) -> list[AnyPath]:
    """Returns the files of a folder whose names match, by name; or the file itself. Empty if there is none. Raises
    `OSError`."""
    if place.is_dir():
        return [path for path in matching(place, pattern) if path.is_file()]
    return [place] if place.is_file() else []


@cache
def _store(base: str) -> ObjectStore:
    try:
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError:
        raise ConfigError('object stores need obstore: pip install "guardproxy[objects]"') from None
    try:
        return from_url(base)
    except Exception as error:
        raise ConfigError(f"{base}: not an object store: {error}") from None
