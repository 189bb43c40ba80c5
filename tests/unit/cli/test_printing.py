"""What the command line prints: no control character, no change of direction and no endless text, whatever it reads.

The commands, their arguments and their options come from the command line itself, and the fields of the log from its schema:
a new command, option or field is tested without a change here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from guardproxy.audit.record.document_schema import log_schema
from guardproxy.cli import app, demo, printing
from guardproxy.cli import serve as serving
from guardproxy.cli.audit import ship as audit_ship
from guardproxy.cli.audit import tail as audit_tail
from guardproxy.errors import ConfigError
from tests.kit.logs import write_log
from tests.kit.play import Play, chat_frames, policy_set

ROOT = Path(__file__).resolve().parents[3]
# Escape sequences for colours and titles, their C1 forms, direction marks, line ends of several kinds, a lone NUL and DEL.
HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b31m\u202eevil\u2066\r\n\x0b\x85\u2028\x00\x7f\u200b'\"<`"
LONG = 1 << 20
POLICY = """
policy: simple
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules:
  - {id: word, when: word, action: %s}
"""


def full(schema: dict[str, Any], defs: dict[str, Any], text: str) -> Any:
    """A value that fits a schema: every member is there, and every string without a choice is `text`."""
    if "$ref" in schema:
        return full(defs[schema["$ref"].rpartition("/")[2]], defs, text)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[-1])
    if "anyOf" in schema:
        return full(next(kind for kind in schema["anyOf"] if kind.get("type") != "null"), defs, text)
    match schema.get("type"):
        case "object":
            members = {name: full(member, defs, text) for name, member in schema.get("properties", {}).items()}
            more = schema.get("additionalProperties")
            return members | ({text: full(more, defs, text)} if isinstance(more, dict) else {})
        case "array":
            items = schema.get("prefixItems") or [schema.get("items", {})] * 2
            return [full(item, defs, text) for item in items]
        case "string":
            return text
        case "integer" | "number":
            return 1
        case "boolean":
            return True
    return {text: [text, None]}


def entries(text: str) -> Iterator[dict[str, Any]]:
    """An entry of each kind, with `text` in every field; records also without the parts that other parts depend on."""
    schema = log_schema()
    for kind in schema["oneOf"]:
        entry = full(kind, schema["$defs"], text)
        if "kind" in entry:
            for left_out in ("", "sealed", "feedback") if "response" in entry else ("",):
                yield {name: value for name, value in entry.items() if name not in (left_out, "seq", "prev", "hash")}


def exchanged(text: str) -> Any:
    """The record of an exchange with hostile keys and texts, which can be replayed."""
    body: dict[str, Any] = {
        "model": text,
        "messages": [{"role": "user", "content": f"plain {text}", f"k{text}": f"plain {text}"}],
    }
    body |= {f"x{text}": {text: "plain"}, "user": text}
    play = Play(policy_set(POLICY % "flag")).ask(body)
    return play.stream(chat_frames([{"content": f"a plain {text}"}])).finish.record


def leaves(tree: Any, text: str) -> Iterator[Any]:
    """The same tree with one string changed to `text`: each key and each value in turn."""
    match tree:
        case dict():
            for name, value in tree.items():
                yield {(text if key == name else key): member for key, member in tree.items()}
                yield from (tree | {name: changed} for changed in leaves(value, text))
        case list():
            for index, item in enumerate(tree):
                yield from ([*tree[:index], changed, *tree[index + 1 :]] for changed in leaves(item, text))
        case str():
            yield text


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders and files with hostile texts, one of each kind that commands read."""
    root = tmp_path_factory.mktemp("hostile")
    log, policies, broken, named = root / "log", root / "policies", root / "broken", root / f"n{HOSTILE[:9]}"
    long, longish = f"{HOSTILE}{'x' * LONG}", f"{HOSTILE}{'x' * 5000}"
    record = next(entry for entry in entries(HOSTILE) if "sealed" not in entry and "response" in entry)
    huge = {name: long if value == HOSTILE else value for name, value in record.items()}
    write_log(log, "a", *entries(HOSTILE), exchanged(HOSTILE), *entries(longish), exchanged(longish), huge)
    with (log / "a.jsonl").open("ab") as file:
        file.write(json.dumps({"seq": 99, "kind": HOSTILE, "v": HOSTILE}).encode() + b"\n\x1b[31m not JSON\n")
    for folder in (policies, broken, named):
        folder.mkdir()
    simple = {
        "policy": "simple",
        "description": "words",
        "match": {"routes": ["POST /v1/messages"], "when": "true"},
        "checks": {"word": {"use": "pattern", "label": "WORD", "words": ["plain"]}},
        "rules": [{"id": "word", "when": "word", "action": "block", "message": "no"}],
        "tests": [{"name": "a test", "request": "text", "expect": {"rule": "word"}}],
        "audit": {"keep": "redacted"},
    }
    fine = simple | {
        "description": HOSTILE,
        "rules": [{"id": "word", "when": "word", "action": "block", "message": HOSTILE}],
    }
    fine["checks"] = {
        "word": {"use": "pattern", "label": "WORD", "words": ["plain", HOSTILE, f"{HOSTILE}{'x' * 5000}"]}
    }
    fine["tests"] = [{"name": HOSTILE, "request": f"{HOSTILE}{'x' * LONG}", "expect": {"upstream": HOSTILE}}]
    (policies / "p.yaml").write_text(json.dumps(fine, ensure_ascii=True))
    for number, changed in enumerate(chain(leaves(simple, HOSTILE), leaves(simple, longish))):
        (broken / f"p{number}.yaml").write_text(json.dumps(changed | {"policy": changed.get("policy", f"p{number}")}))
    (named / f"l{HOSTILE[:9]}.jsonl").write_text(
        json.dumps({"id": long, "text": HOSTILE, "label": 1, "source": HOSTILE}) + "\n"
    )
    (named / "clients.json").write_text(json.dumps({"clients": [{"name": HOSTILE, "tenant": long}]}))
    rows = root / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"id": HOSTILE, "text": f"a {HOSTILE}", "label": number % 2}) + "\n" for number in range(40))
    )
    config = root / "config.toml"
    config.write_text(f"{json.dumps(HOSTILE)} = {json.dumps(HOSTILE)}\n[[limits]]\nname = {json.dumps(HOSTILE)}\n")
    litellm = root / "litellm.yaml"
    litellm.write_text(
        json.dumps({"model_list": [{"model_name": HOSTILE, "litellm_params": {"model": long}}], HOSTILE: [HOSTILE]})
    )
    return [log, policies, broken, named, rows, config, litellm, root / HOSTILE.replace("\x00", "")]


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below a command, with the words that call them."""
    children = getattr(command, "commands", None)
    if not children:
        yield words, command
    for name, child in (children or {}).items():
        yield from commands(child, *words, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def calls(command: Any, places: list[Path]) -> Iterator[list[str]]:
    """Arguments for a command: each place with every required argument and option, as text and as JSON; then each other option
    with a hostile text, and with a file."""
    kinds: dict[str, list[Any]] = {"option": [], "argument": []}
    for parameter in command.params:
        kinds[parameter.param_type_name].append(parameter)
    names = {option.opts[0]: option for option in kinds["option"]}
    needed = [name for name, option in names.items() if option.required]
    further = [name for name, option in names.items() if not option.required and not option.is_flag]
    # No models of the default policies, and no processes: they make the same prints slow.
    quick = {"--policies": str(places[1]), "--workers": "1"}
    text = HOSTILE.replace("\x00", "")

    def call(*options: str, first: str, others: str) -> list[str]:
        given = [
            word for name, value in quick.items() if name in names and name not in options for word in (name, value)
        ]
        given += [word for name in needed for word in (name, others)]
        return [*options, *given, *[first, *[others] * (len(kinds["argument"]) - 1)][: len(kinds["argument"])]]

    for form in [[], ["--json"]] if "--json" in names else [[]]:
        for place in map(str, places):
            yield call(*form, first=place, others=place)
            if len(kinds["argument"]) > 1 or needed:
                yield call(*form, first=place, others=text)
    for name in further:
        yield call(name, text, first=str(places[0]), others=str(places[0]))
        yield call(name, str(places[2]), first=str(places[1]), others=str(places[1]))
    yield [text] * 5
    yield [f"--{text}"]


class _Over(Event):
    """Says at once that the command is stopped."""

    def wait(self, timeout: float | None = None) -> bool:
        return True


@pytest.mark.parametrize("group", sorted({words[0] for words in COMMANDS if len(words) > 1} | {""}))
def test_help_shows_what_each_command_does_in_full(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*([group] if group else []), "--help"]).stdout
    _, _, listed = shown.partition("Commands:\n")
    assert listed
    assert [line for line in listed.splitlines() if line.endswith("...") or len(line) > 80] == []


async def _not_started(*_: Any, **__: Any) -> None:
    raise ConfigError(HOSTILE)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_prints_what_a_terminal_obeys(
    words: tuple[str, ...], places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(audit_tail, "Event", _Over)
    monkeypatch.setattr(audit_ship, "Event", _Over)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(demo, "_run", _not_started)
    monkeypatch.setattr("guardproxy.server.serve", _not_started)
    monkeypatch.setattr("guardproxy.server.several", lambda config: 0)
    monkeypatch.setattr(serving, "refuse_core_files", lambda: None)
    failed = []
    for arguments in calls(COMMANDS[words], places):
        result = CliRunner().invoke(app, [*words, *arguments], input=f"{HOSTILE}\n")
        shown = result.stdout + result.stderr
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            failed.append((arguments, repr(result.exception)))
        bad = {char for char in shown if not char.isprintable() and char != "\n"}
        assert not bad, (arguments, bad, shown[:2000])
        too_long = [
            line[:200]
            for line in shown.split("\n")
            if len(line) > 10 * printing.LIMIT_LINE_CHARS and line.lstrip()[:1] not in '{["'
        ]
        assert not too_long, arguments
    assert not failed


def prints(tree: ast.AST) -> Iterator[str]:
    """What a module uses to print by itself."""
    for node in ast.walk(tree):
        name = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if name in ("print", "typer.echo", "typer.secho", "click.echo", "sys.stdout", "sys.stderr", "Console"):
            yield name
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "say" and "json.dumps" in ast.unparse(node):
            yield "say(json.dumps)"  # it escapes the line feeds of JSON; `say_json` does not
        if isinstance(node, ast.ImportFrom):
            yield from (
                alias.name for alias in node.names if alias.name in ("Console", "echo", "secho", "stdout", "stderr")
            )


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "guardproxy" / "cli").rglob("*.py")) if path.name != "printing.py"],
    ids=str,
)
def test_only_one_file_of_the_command_line_prints(path: Path) -> None:
    assert list(prints(ast.parse(path.read_text("utf-8")))) == []


def test_the_test_of_printing_finds_what_prints() -> None:
    tree = ast.parse(
        "from rich.console import Console\nprint(1)\nsys.stdout.write('x')\ntyper.echo('y')\nsay(json.dumps(1))"
    )
    assert set(prints(tree)) == {"Console", "print", "sys.stdout", "typer.echo", "say(json.dumps)"}


def test_lines_are_cut_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    printing.say("a\nb\x1b", printing.styled(("c\x9b", "bold"), "d" * 3000), err=True)
    printing.say("x" * 30_000, printing.styled(*["y" * 2000] * 20))
    printing.say(Text("raw\x1b"))
    out, err = capsys.readouterr()
    assert err == f"a\\nb\\x1b\nc\\x9b{'d' * 2000}… (3,000 characters)\n"
    assert [len(line) < 20_100 for line in out.splitlines()] == [True] * 3
    assert out.endswith("raw\\x1b\n")


def test_tables_are_aligned_after_they_are_escaped() -> None:
    assert list(printing.aligned([("a", "b"), ("\x1b", "c"), ("z" * 500, "")])) == [
        f"a{' ' * 199}  b",
        f"\\x1b{' ' * 196}  c",
        "z" * 199 + "…",
    ]


def test_errors_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        printing.fail("one\ntwo\x1b", 1)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "guardproxy: one\ntwo\\x1b\n"


def test_the_errors_of_a_demo_have_a_line_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def ends(*_: Any, **__: Any) -> None:
        raise ConfigError("one\ntwo")

    monkeypatch.setattr(demo, "_run", ends)
    result = CliRunner().invoke(app, ["demo", "--audit", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (2, "guardproxy: cannot start: one\ntwo\n")


def test_json_is_valid_for_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"most": [float("inf"), -float("inf"), float("nan"), 1.5, Path("a")], "Infinity": "NaN"}
    for indent in (None, 2):
        printing.say_json(value, indent, str)
        read = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert read == {"most": [None, None, None, 1.5, "a"], "Infinity": "NaN"}


def test_an_output_for_ascii_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    printing.say("näme …")
    assert stream.buffer.getvalue() == b"n\\xe4me \\u2026\n"


def test_unexpected_errors_of_commands_without_texts_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("a\x1b[31m")
    except ValueError as error:
        printing.show_trace(error)
    assert capsys.readouterr().err.endswith("ValueError: a\\x1b[31m\n")


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nothing"], 2), ([], 2)])
def test_the_program_ends_with_the_code_of_the_command(arguments: list[str], code: int) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == code


def test_an_aborted_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def aborts(*_: Any) -> None:
        raise typer.Abort

    monkeypatch.setattr("guardproxy.cli.policy.init.say_json", aborts)
    result = CliRunner().invoke(app, ["policy", "init", "--json"])
    assert (result.exit_code, result.stderr) == (1, "Aborted!\n")
