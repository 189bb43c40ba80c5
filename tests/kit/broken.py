"""The broken policies of `tests/policy/broken` and what each of them is told.

`python -m tests.kit.broken` writes both down again, in `tests/policy/broken.txt` and `docs/policies/errors.md`: read the
difference before you keep it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from guardproxy.checks._contract import Resources
from guardproxy.policy.load import Files, PolicyErrors, build_checks, parse_all
from tests.kit.supervisor import FakeScorer, words

ROOT = Path(__file__).resolve().parents[2]
BROKEN = ROOT / "tests" / "policy" / "broken"
TOLD = ROOT / "tests" / "policy" / "broken.txt"
TABLE = ROOT / "docs" / "policies" / "errors.md"
_HEAD = """\
# What a broken policy is told

Each row is a file of `tests/policy/broken`, or a folder where several files belong together; the place before each message is
the one that `guardproxy policy lint` prints. This table is written by `python -m tests.kit.broken`, and a test compares it.

| what is wrong | the line | what is said |
|---|---|---|
"""


def cases() -> list[Path]:
    """Each file is a case, and each folder that has policies."""
    return sorted(path for path in BROKEN.iterdir() if path.suffix == ".yaml" or any(path.glob("*.yaml")))


def told(case: Path) -> list[str]:
    """The messages, with paths below the folder of all cases; empty where the policies are right."""
    paths = sorted(case.glob("*.yaml")) if case.is_dir() else [case]
    beside = Files(case if case.is_dir() else BROKEN)
    try:
        policies = parse_all([(str(path), path.read_bytes()) for path in paths], beside)
        build_checks(policies, Resources(scorer=lambda name: FakeScorer(words), read=beside.read))
    except PolicyErrors as errors:
        return [str(error).replace(f"{BROKEN}/", "") for error in errors.errors]
    return []


def every() -> dict[str, list[str]]:
    """What each case is told, by its name."""
    return {case.stem: told(case) for case in cases()}


def listed(messages: dict[str, list[str]]) -> str:
    return "".join(f"{message}\n" for each in messages.values() for message in each)


def table(messages: dict[str, list[str]]) -> str:
    """The messages for people, beside the lines that they are about."""
    return _HEAD + "".join(f"{row}\n" for row in _rows(messages))


def _rows(messages: dict[str, list[str]]) -> Iterator[str]:
    for name, each in messages.items():
        said = []
        for message in each:
            path, line, column, text = message.split(":", 3)
            said.append(f"`{path}:{line}:{column}`{_safe(text)}")
        path, number, _ = each[0].split(":", 2)
        lines = (BROKEN / path).read_bytes().decode("utf-8", "replace").splitlines()
        line = lines[int(number) - 1] if int(number) <= len(lines) else ""
        shown = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in line.strip())
        shown = shown if len(shown) <= 90 else f"{shown[:87]}..."
        yield f"| {name.replace('-', ' ')} | {_code(shown)} | {'<br>'.join(said)} |"


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}".replace("|", "\\|") if text else ""


if __name__ == "__main__":
    found = every()
    TOLD.write_text(listed(found), "utf-8")
    TABLE.write_text(table(found), "utf-8")
    print(f"{len(found)} cases, {sum(map(len, found.values()))} messages")
    print(*(f"right: {name}" for name, each in found.items() if not each), sep="\n")
