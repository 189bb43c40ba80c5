"""Files outside of `docs/` that the site shows: the changelog, other pages of the root, model cards, pictures of benchmarks.

On GitHub a page links to such a file by its path (`../benchmarks/results/pii.png`). In the site the file has another place, so
`on_files` adds the file there and `on_page_markdown` changes the links.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
SHOWN = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "models/*/card.md",
    "models/*/*.png",
    "benchmarks/results/*.png",
    "benchmarks/results/*.svg",
)
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)")

# The path in the repository -> the path in the site. `security.md` would have the address of `security/index.md`.
PLACES = {
    file: "reporting.md" if file == "SECURITY.md" else file.lower() if "/" not in file else file
    for pattern in SHOWN
    for file in sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
}
SOURCES = {place: file for file, place in PLACES.items()}


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the files of `PLACES`."""
    for file, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / file)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Changes each link to a file of the repository into a link to its place in the site."""
    place = page.file.src_uri
    source = SOURCES.get(place, f"docs/{place}")

    def changed(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if target in PLACES:
            return posixpath.relpath(PLACES[target], posixpath.dirname(place) or ".")
        if place in SOURCES and target.startswith("docs/"):
            return posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(place) or ".")
        return match[0]

    return LINK.sub(changed, markdown)
