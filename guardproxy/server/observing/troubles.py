"""What is wrong now, for operators: a text, the settings that mend it, and the error that requests get meanwhile.

`/livez` and `/readyz` show the texts; the console also shows the settings.

Decision: docs/decisions/0085-a-fault-names-what-mends-it.md
"""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.errors import ErrorCode


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong. `settings`: the names of those that mend it. `code`: the error that requests get because of it;
    `None` if requests go on. `meaning`: an explanation. `is_serious`: whether `/livez` or `/readyz` fails."""

    text: str
    settings: tuple[str, ...]
    code: ErrorCode | None = None
    meaning: str = ""
    is_serious: bool = False

    @classmethod
    def of(cls, text: str, code: ErrorCode) -> Trouble:
        """Returns a trouble for which `/readyz` fails, with what the code of its error declares."""
        return cls(text, code.settings, code, code.meaning, is_serious=True)
