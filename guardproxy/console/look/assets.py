"""The files that browsers load. The digest of a file is in its address, so a browser may keep it for ever.

In: files beside this module. Out: their contents, addresses, and the `integrity` of scripts. A vendored file that is not the
released one is refused at the start.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
# The files of the releases htmx.org 4.0.1, as its maker published them.
VENDORED: Mapping[str, str] = {
    "vendor/htmx.min.js": "Qp9rdC8H7EqOoX+nR0P3RPG2Noji+qdwJlGpfzwQJsfOpp3sGwIdSP9xO3+UlEhn",
    "vendor/hx-csp.min.js": "l1UlMMjlxqJ9heYFHycJZCe5JK5ercIbf4mufiyK4B5B/8Hk3xk05wPOiWNv2OUX",
    "vendor/hx-sse.min.js": "v8HvucQ+ohQhMg0arboXc5049yNR46QKMjphs7YDch+Wm7zpfK5XVS01f26mQDJV",
}
_TYPES: Mapping[str, str] = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_NAMES = ("console.css", "console.js", "icon.svg", *VENDORED)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that browsers load. `integrity`: what its tag says of its content."""

    name: str
    content: bytes = field(repr=False)
    content_type: str
    digest: str
    integrity: str

    @classmethod
    def read(cls, name: str) -> Asset:
        """Reads a file. Raises `ValueError` if it is vendored and was changed."""
        content = (FOLDER / name).read_bytes()
        sha384 = base64.b64encode(hashlib.sha384(content).digest()).decode()
        if VENDORED.get(name, sha384) != sha384:
            raise ValueError(f"{name} is not the file that was released")
        digest = hashlib.sha256(content).hexdigest()[:16]
        return cls(name, content, _TYPES[Path(name).suffix], digest, f"sha384-{sha384}")


class Assets:
    """All files that browsers load."""

    def __init__(self, names: tuple[str, ...] = _NAMES) -> None:
        self._assets = {asset.name: asset for asset in map(Asset.read, names)}

    def __getitem__(self, name: str) -> Asset:
        """Returns a file. Raises `KeyError`."""
        return self._assets[name]

    def url(self, name: str) -> str:
        """Returns the address of a file."""
        asset = self[name]
        return f"/console/static/{asset.digest}/{name}"

    def find(self, digest: str, name: str) -> Asset | None:
        """Returns the file of an address; `None` if there is none."""
        asset = self._assets.get(name)
        return asset if asset and asset.digest == digest else None


ASSETS = Assets()
