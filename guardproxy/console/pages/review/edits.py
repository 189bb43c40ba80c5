"""A file of the policies with one change, as text and as a difference.

In: where the served policies are, the name of a policy, and a function that changes the text of its file. Out: the changed
file. Nothing is written: the page Policies saves it, after a second person has approved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guardproxy.policy import PolicySet
from guardproxy.policytest import EditError, PolicyText


@dataclass(frozen=True, slots=True)
class EditedFile:
    """A file with a change. `name`: below the folder of the policies; `text`: the new content; `diff`: what changes."""

    name: str
    text: str
    diff: str


def edited(
    places: tuple[Path, ...], policies: PolicySet, policy: str, change: Callable[[PolicyText], PolicyText]
) -> EditedFile:
    """Returns the file of a policy with a change. Raises `EditError` and `OSError`."""
    known = next((its for its in policies.policies if its.name == policy), None)
    if known is None or not places:
        raise EditError(f"the policies have no policy `{policy}`")
    place = places[0]
    folder = place if place.is_dir() else place.parent
    path = _path(folder, known.source)
    old = PolicyText(path.read_text("utf-8"))
    new = change(old)
    name = path.relative_to(folder).as_posix()
    return EditedFile(name, new.text, old.difference(new, name))


def _path(folder: Path, source: str) -> Path:
    """Returns the path of a file by what its policy calls it: relative to the folder, or to where the program runs."""
    for path in (folder / source, folder / Path(source).name, Path(source)):
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return folder / path.resolve().relative_to(folder.resolve())
    raise EditError(f"the file `{source}` is not in the folder of the policies")
