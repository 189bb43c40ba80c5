"""A user's own recognizers: files in Presidio's format, and classes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from guardproxy.checks._shared.declared.contract import Resources, build
from guardproxy.checks._shared.pii.cover import parse
from guardproxy.checks._shared.pii.custom import CustomRecognizers, attacks
from guardproxy.errors import OptionError
from tests.kit.checks import assert_every_split, whole
from tests.kit.pii import analyzer, mixed_text

OWN = "tests.kit.own_recognizers"
FILE = b"""
supported_languages: [en, de]
recognizers:
  - name: Room
    supported_entity: ROOM
    type: custom
    supported_languages:
      - language: en
        context: [room]
      - language: de
        context: [raum]
    patterns:
      - {name: room, regex: '\\bR\\d{3}(?=[ ,.]|$)', score: 0.3}
      - {name: hall, regex: '(?i)\\bhall\\s+[\\p{L}]+', score: 0.5}
    score_thresholds: {default: 0.2, ROOM: 0.3}
  - name: CreditCardRecognizer
    type: predefined
    supported_languages: [{language: en, context: [plastic]}]
  - {name: Titles, supported_language: en, supported_entity: TITLE, deny_list: [Mr., Mrs., "Dr."]}
  - {name: UsSsnRecognizer, type: predefined, enabled: false}
"""


def _check(recognizers: Any, content: bytes = b"", **options: Any) -> Any:
    return build(
        "pii",
        "pii",
        {"recognizers": recognizers, **options},
        Resources(read={"own.yaml": content}.__getitem__, code=True),
    )


def _found(check: Any, text: str) -> list[tuple[str, str, float]]:
    return [(one.label, text[one.start : one.end], round(one.score, 6)) for one in whole(check, text)]


def test_a_file_loads_as_it_is() -> None:
    check = _check("own.yaml", FILE)
    text = "Dr. Ada is in room R123, Hall Émile; plastic 4111 1111 1111 1111, or R124. 536-22-8726"
    found = [("TITLE", "Dr.", 1.0), ("ROOM", "R123", 0.65), ("ROOM", "Hall Émile", 0.85)]
    assert _found(check, text) == [*found, ("CREDIT_CARD", "4111 1111 1111 1111", 1.0), ("ROOM", "R124", 0.3)]
    assert_every_split(check, text)
    assert _found(_check("own.yaml", FILE, threshold=0.4), "R124") == []
    assert _found(_check("own.yaml", FILE, language="de"), "Raum R123") == [("ROOM", "R123", 0.65)]
    assert _found(_check("own.yaml", FILE, entities=["US_SSN"]), "Mr. X, 536-22-8726")[0] == ("TITLE", "Mr.", 1.0)


def test_the_file_that_comes_with_presidio_loads_as_it_is() -> None:
    conf = files("presidio_analyzer") / "conf"
    for name in ("default_recognizers.yaml", "example_recognizers.yaml"):
        check = _check("own.yaml", (conf / name).read_bytes())
        assert _found(check, "Mr. Who, 4111 1111 1111 1111" if "default" in name else "Mr. Who")


def test_what_a_file_finds_is_what_presidio_finds_with_it() -> None:
    from random import Random

    made = CustomRecognizers(["own.yaml"], {"own.yaml": FILE}.__getitem__).build("en")
    theirs, check, random = (
        analyzer(made, "en", local=True),
        _check("own.yaml", FILE, threshold=0, evasions="off"),
        Random(3),
    )
    for _ in range(100):
        text = f"{mixed_text(random)} Mr. hall {mixed_text(random)} room R123"
        spans, _ = check.engine.step(text, 0, True)
        assert {span[:4] for span in spans} == theirs(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"recognizers: [", "not YAML"),
        (b"\xff", "not YAML"),
        (b"- a", "list `recognizers`"),
        (b"recognizers: 5", "list `recognizers`"),
        (b"recognizers: [{name: Nope, type: predefined}]", "Presidio refuses"),
        (
            b"recognizers: [{name: X, supported_entity: X, patterns: [{name: x, regex: '(', score: 1}]}]",
            "Presidio refuses",
        ),
        (b"recognizers: [{name: SpacyRecognizer, type: predefined}]", "needs a model"),
        (
            b"recognizers: [{name: X, supported_entity: X, patterns: [{name: x, regex: '(?:ab){e<=1}', score: 1}]}]",
            "fuzzy",
        ),
        (
            b"recognizers: [{name: X, supported_entity: X, patterns: [{name: x, regex: '(a+)+$', score: 1}]}]",
            "too long",
        ),
        (
            b"recognizers: [{name: X, supported_entity: X, patterns: [{name: x, regex: '(?:\\w|\\w\\w)*=', score: 1}]}]",
            "too long",
        ),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _check("own.yaml", content)
    assert caught.value.key == "recognizers"


def test_a_file_that_cannot_be_read() -> None:
    def read(path: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(OptionError, match=r"cannot read `a.yml`: no such file"):
        build("pii", "pii", {"recognizers": ["a.yml"]}, Resources(read=read))
    with pytest.raises(OptionError, match="can be read only for a policy in a folder"):
        build("pii", "pii", {"recognizers": ["a.yml"]}, Resources())

    def bare(path: str) -> bytes:
        raise OSError

    with pytest.raises(OptionError, match=r"cannot read `a\.yml`: oserror"):
        build("pii", "pii", {"recognizers": ["a.yml"]}, Resources(read=bare))


def test_classes_load_as_they_are() -> None:
    check = _check([f"{OWN}:BadgeRecognizer"])
    assert _found(check, "badge B-1230, B-1231, x B-1232, B-9990") == [
        ("BADGE", "B-1230", 0.85),
        ("BADGE", "B-1232", 1.0),
        ("BADGE", "B-9990", 0.85),
    ]
    assert_every_split(check, "badge B-1230, B-1231, x B-1232")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("nothing", "neither a file"),
        (":Class", "neither a file"),
        ("tests.nowhere:Class", "cannot import .*ModuleNotFoundError"),
        (f"{OWN}:Nope", "cannot import .*AttributeError"),
        ("json:JSONDecoder", "not a subclass"),
        ("json:dumps", "not a subclass"),
        (f"{OWN}:BrokenRecognizer", "cannot make .*not today"),
        (f"{OWN}:SlowRecognizer", "takes too long"),
    ],
)
def test_a_class_that_will_not_do_is_refused_with_the_reason(entry: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        _check([entry])
    assert caught.value.key == "recognizers"


@pytest.mark.parametrize("entry", [f"{OWN}:BadgeRecognizer", "tests.nowhere:Class", "json:JSONDecoder"])
def test_no_class_is_imported_unless_code_is_allowed(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("importlib.import_module", imported)
    with pytest.raises(OptionError, match="--allow-code"):
        CustomRecognizers([entry], None)


def test_a_check_imports_no_class_by_default() -> None:
    with pytest.raises(OptionError, match="--allow-code"):
        build("pii", "pii", {"recognizers": [f"{OWN}:BadgeRecognizer"]}, Resources())


def test_a_class_that_loads_a_model_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    def made(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(SpacyRecognizer, "__init__", made)
    for entry in (
        "SpacyRecognizer",
        "{name: x, class_name: SpacyRecognizer}",
        "{name: SpacyRecognizer, type: predefined}",
    ):
        with pytest.raises(OptionError, match="needs a model"):
            _check("own.yaml", f"recognizers: [{entry}]".encode())


def test_a_class_for_another_language_finds_nothing() -> None:
    with pytest.raises(OptionError, match="no recognizer for the language de"):
        _check([f"{OWN}:ShoutRecognizer"], language="de")


def test_the_digest_knows_files_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _check("own.yaml", FILE).digest == _check("own.yaml", FILE).digest != _check("own.yaml", FILE + b"#").digest
    before = CustomRecognizers([f"{OWN}:BadgeRecognizer"], None, code=True).digest
    assert (
        before
        == CustomRecognizers([f"{OWN}:BadgeRecognizer"], None, code=True).digest
        != CustomRecognizers([f"{OWN}:ShoutRecognizer"], None, code=True).digest
    )
    monkeypatch.setattr("inspect.getsource", lambda module: "other code")
    assert CustomRecognizers([f"{OWN}:BadgeRecognizer"], None, code=True).digest != before

    def gone(module: object) -> str:
        raise OSError

    monkeypatch.setattr("inspect.getsource", gone)
    assert CustomRecognizers([f"{OWN}:BadgeRecognizer"], None, code=True).digest != before


def test_attacks_reach_every_repeat() -> None:
    source = r"x(?=a*)(?:b*|(?>c+))[^\W\d]*[^a]d*?(?:\s\s|(?:\d\d|[%!-&]%))+\w{2,}[G-Z]{40}(?P<e>e)."
    texts = list(attacks(parse(source, 0)[0]))
    for letter in ("a", "b", "c", "d", "0", "G", " ", "%"):
        assert any(letter * 20 in text for text in texts)
