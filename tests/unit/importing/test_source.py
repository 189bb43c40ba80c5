"""A YAML file is read with the path and the line of each value, and a hostile one is refused."""

from __future__ import annotations

import pytest

from guardproxy.errors import ConfigError
from guardproxy.importing import source as module
from guardproxy.importing.source import read_source, shown

TEXT = b"""\
a:
  - {b: 1, c: os.environ/KEY}
  - plain
empty: {}
on: yes
"""


def test_values_have_paths_and_lines() -> None:
    source = read_source(TEXT, "f")
    assert source.get("a", 0, "c") == "os.environ/KEY"
    assert source.get("a", 5) is source.get("a", "b") is source.get("a", 1, "x") is source.get("no", "where") is None
    assert (source.keys("a", 0), source.keys("a"), source.count("a"), source.count("empty")) == (("b", "c"), (), 2, 0)
    leaves = {shown(path): source.lines[path] for path in source.leaves()}
    assert leaves == {"a[0].b": 2, "a[0].c": 2, "a[1]": 3, "empty": 4, "on": 5}
    assert source.get("on") is True, "as LiteLLM reads it"


def test_merge_keys_are_followed() -> None:
    source = read_source(b"base: &b {x: 1}\nother:\n  <<: *b\n  y: 2\n? [1]\n: z\n", "f")
    assert source.get("other") == {"x": 1, "y": 2}
    assert source.get("?") == "z"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "expected a mapping"),
        (b"- 1", "expected a mapping"),
        (b"a: [1", r"f:1: not valid YAML"),
        (b"a: \xff", "not valid YAML"),
        (b"a: 2026-99-99", "not valid YAML"),
        (b"a: !!python/name:os.system x", "f:1: not valid YAML"),
        (b"a: " + b"[" * 400, "not valid YAML|nested"),
        (b"a: " + b"[" * 60 + b"]" * 60, "nested"),
        (b"x" * (module.LIMIT_BYTES + 1), "larger"),
    ],
    ids=range(9),
)
def test_a_file_that_cannot_be_used_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_source(text, "f")


def test_aliases_do_not_make_a_file_large() -> None:
    levels = [b"a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)]
    with pytest.raises(ConfigError, match="more than"):
        read_source(b"\n".join(levels), "f")
