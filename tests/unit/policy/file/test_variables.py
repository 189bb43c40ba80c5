"""Variables and lists: what stands instead of `${name}`, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.policy.file.load import Files, PolicyErrors, load_folder, parse, parse_all
from guardproxy.policy.file.variables import LIMIT_ENTRIES, LIMIT_ENTRY_CHARS
from guardproxy.policy.values.document import Policy

RULES = "rules: [{id: r, when: w, action: block, message: '${say} ${n} ${flag} $${n} ${7}'}]\n"
LISTED = "policy: p\nlists: {l: l.txt}\nchecks: {w: {use: pattern, words: '${l}'}}\nrules: [{id: r, when: w, action: flag}]\n"


def read(text: str, **files: str) -> Policy:
    class Beside(Files):
        def read(self, path: str) -> bytes:
            return files[path].encode()

    return parse_all([("p.yaml", text)], Beside("there"))[0]


def test_a_variable_alone_is_its_value_and_in_a_text_its_text() -> None:
    text = (
        "policy: p\n"
        "vars: {n: 3, x: 0.5, flag: true, say: hello, models: [a, b], one: true}\n"
        "match: {models: ['${models}', c]}\n"
        "checks: {w: {use: pattern, words: ['${say}'], score: '${x}', cap: '${n}', deep: {er: '${one}'}}}\n" + RULES
    )
    policy = parse(text, "p.yaml")
    assert policy.match.models == ("a", "b", "c")
    assert policy.checks["w"].options == {"words": ["hello"], "score": 0.5, "cap": 3, "deep": {"er": True}}
    assert policy.rules[0].message == "hello 3 true ${n} ${7}"
    assert policy.unused == ()


def test_variables_count_where_a_policy_decides_and_nowhere_else() -> None:
    text = (
        "policy: p\ndescription: ${not a variable} ${nothing}\nvars: {e: flag, u: refuse, k: none}\n"
        "on_error: ${e}\nunmapped: ${u}\naudit: {keep: '${k}'}\n"
        "rules: [{id: r, when: check_error, action: flag}]\n"
        "tests: [{name: t, request: '${nothing}', expect: {decision: pass}}]\n"
    )
    policy = parse(text, "p.yaml")
    assert (policy.on_error, policy.unmapped, policy.keep) == ("flag", "refuse", "none")
    assert policy.description == "${not a variable} ${nothing}"


def test_a_list_is_a_file_with_one_entry_a_line() -> None:
    text = "policy: p\nlists: {names: names.txt}\nchecks: {w: {use: pattern, words: [x, '${names}']}}\n" + RULES
    policy = read(
        text.replace(RULES, "rules: [{id: r, when: w, action: flag}]\n"), **{"names.txt": "\ufeffa b\r\n# no\n\n c\n"}
    )
    assert policy.checks["w"].options["words"] == ["x", "a b", "c"]
    place = policy.checks["w"].places["words[2]"]
    assert (place.line, place.column, place.path) == (4, 2, "there/names.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x" * (LIMIT_ENTRY_CHARS + 1), f"there/l.txt:1:1: an entry has at most {LIMIT_ENTRY_CHARS} characters"),
        (
            "\n".join(map(str, range(LIMIT_ENTRIES + 2))),
            f"there/l.txt:{LIMIT_ENTRIES + 1}:1: a list has at most {LIMIT_ENTRIES} entries",
        ),
    ],
    ids=["long", "many"],
)
def test_a_list_has_limits(content: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        read(LISTED, **{"l.txt": content})
    assert str(caught.value) == message


def test_without_a_folder_there_are_no_lists() -> None:
    text = LISTED.replace("l.txt}", "l.txt, m: 3}")
    with pytest.raises(PolicyErrors, match=r"p.yaml:2:12: files cannot be read here\np.yaml:2:22: expected the path"):
        parse(text, "p.yaml")


def test_a_list_is_part_of_the_digest(tmp_path: Path) -> None:
    def digest(content: str) -> str:
        (tmp_path / "l.txt").write_text(content)
        files = Files(tmp_path)
        return files.digest(load_folder(tmp_path, files)[1])

    (tmp_path / "p.yaml").write_text(LISTED)
    assert digest("a\n") == digest("a\n") != digest("b\n")
