"""`make release`: builds the distributions twice, compares their bytes, and writes what goes with a release into `dist/`.

Out: the wheels, `SHA256SUMS`, a bill of materials (CycloneDX) and a statement of provenance (in-toto, SLSA) that names the
digests and the commit. Then a list of what a person must look at. Exit code 1 if something is missing. Nothing is published
or signed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECTS = (".", "models", "models/gpu")
SBOM, PROVENANCE, SUMS = "sbom.cdx.json", "provenance.json", "SHA256SUMS"


class Item(NamedTuple):
    """A line of the list: whether it holds, and what to do if it does not."""

    holds: bool
    what: str
    remedy: str


def build(folder: Path, project: str) -> Path:
    """Builds the wheel of a project into a folder of its own in this one."""
    out = folder / project.replace("/", "-")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT / project)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    (wheel,) = out.glob("*.whl")
    return wheel


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def needed(name: str, extras: frozenset[str] = frozenset()) -> dict[str, str]:
    """Returns the packages that a distribution of this environment needs, with those that they need, and their versions."""
    found: dict[str, str] = {}
    waiting = [(name, extras)]
    while waiting:
        current, wanted = waiting.pop()
        try:
            about = distribution(current)
        except PackageNotFoundError:  # for another system
            continue
        key = canonicalize_name(current)
        if key in found and not wanted:
            continue
        found[key] = about.version
        for text in about.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (wanted or {""})):
                more = frozenset(requirement.extras)
                if more or canonicalize_name(requirement.name) not in found:
                    waiting.append((requirement.name, more))
    return found


def bill(name: str, version: str, packages: Mapping[str, str]) -> dict[str, Any]:
    """Returns a bill of materials in the form of CycloneDX 1.6."""
    purl = "pkg:pypi/{}@{}".format
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": name, "version": version, "purl": purl(name, version)}
        },
        "components": [
            {"type": "library", "name": each, "version": its, "purl": purl(each, its)}
            for each, its in sorted(packages.items())
            if each != name
        ],
    }


def provenance(digests: Mapping[str, str], commit: str) -> dict[str, Any]:
    """Returns a statement of where files come from. `digests`: by the name of the file."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(digests.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "make release",
                "externalParameters": {"commit": commit},
                "resolvedDependencies": [{"uri": "git", "digest": {"gitCommit": commit}}],
            },
            "runDetails": {"builder": {"id": "make release"}},
        },
    }


def checklist(version: str, commit: str, changes: str, changelog: str, golden: Path) -> Iterator[Item]:
    """Yields what must hold before a release. `changes`: of the working tree, as git prints them."""
    yield Item(bool(commit) and not changes, "the working tree is a commit", "commit or drop what has changed")
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    is_empty = unreleased is None or not unreleased[1].strip()
    yield Item(
        is_empty, "the changelog has nothing unreleased", f"give the section the name {version} and begin a new one"
    )
    yield Item(
        f"## {version}\n" in changelog,
        f"the changelog has a section {version}",
        "write it, with what users must change",
    )
    yield Item(golden.is_dir(), "there are golden copies", "see tests/golden/README.md")


def _git(*words: str) -> str:
    ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def main(out: Path = ROOT / "dist") -> int:
    """Makes the files of a release and prints the list. Returns the exit code."""
    out.mkdir(exist_ok=True)
    items = []
    digests: dict[str, str] = {}
    for project in PROJECTS:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            wheel = build(Path(first), project)
            same = digest(build(Path(second), project)) == digest(wheel)
            shutil.copy(wheel, out)
            digests[wheel.name] = digest(wheel)
        items.append(Item(same, f"{wheel.name} has the same bytes twice", "look for times and orders in the build"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    commit = _git("rev-parse", "HEAD")
    (out / SBOM).write_text(json.dumps(bill("guardproxy", version, needed("guardproxy")), indent=2) + "\n")
    (out / PROVENANCE).write_text(json.dumps(provenance(digests, commit), indent=2) + "\n")
    (out / SUMS).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(digests.items())))
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    items += checklist(version, commit, _git("status", "--porcelain"), changelog, ROOT / "tests" / "golden")
    for item in items:
        print(f"[{'x' if item.holds else ' '}] {item.what}{'' if item.holds else ': ' + item.remedy}")
    print(f"[ ] .ci/run has passed on {commit[:12] or 'this commit'}")
    print(f"[ ] the wheels, {SBOM}, {PROVENANCE} and {SUMS} in {out.name}/ are signed and published")
    return 0 if all(item.holds for item in items) else 1


if __name__ == "__main__":
    sys.exit(main())
