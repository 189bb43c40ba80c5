"""Says when a log continues in a new file: the file is large or old. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rotation:
    """`limit_bytes`: the size, `limit_s`: the age at which a file ends. 0: no limit."""

    limit_bytes: int = 0
    limit_s: float = 0.0

    def due(self, size_bytes: int, age_s: float) -> str:
        """Returns why a file of this size and age ends now; empty if it does not."""
        if self.limit_bytes and size_bytes >= self.limit_bytes:
            return f"the file has {self.limit_bytes} bytes or more"
        if self.limit_s and age_s >= self.limit_s:
            return f"the file is {self.limit_s:g} s old or older"
        return ""
