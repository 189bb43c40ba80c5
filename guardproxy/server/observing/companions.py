"""What a server needs to know of the process beside it that shows pages: how it is started, and where it listens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guardproxy.config import Config
from guardproxy.server.observing.process_metrics import Siblings

SOCKET = "console"


@dataclass(frozen=True, slots=True)
class CompanionCommand:
    """How the process is started. `first_line`: what it gets on its standard input."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    first_line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CompanionPaths:
    """Where the process listens, and where the admin port of this process answers it. `own_folder`: was made for both, if this
    process has no siblings."""

    socket: Path
    admin: Path
    own_folder: Path | None = None

    @classmethod
    def of(cls, siblings: Siblings) -> CompanionPaths:
        """Returns the paths of a server. Makes a folder that only this user can open, unless the siblings have one."""
        if siblings.folder is not None and siblings.socket is not None:
            return cls(siblings.folder / SOCKET, siblings.socket)
        own = Path(tempfile.mkdtemp(prefix="guardproxy-"))
        return cls(own / SOCKET, own / "admin", own)

    def remove(self) -> None:
        """Removes what was made."""
        if self.own_folder is not None:
            shutil.rmtree(self.own_folder, ignore_errors=True)


CompanionOf = Callable[[Config], "Callable[[CompanionPaths], CompanionCommand] | None"]
"""Returns what makes the command of the process beside a server; `None` if the settings want none. Raises `ConfigError`."""


def no_companion(config: Config) -> None:
    """Returns that a server has no process beside it."""
