"""The check `code`: fences with and without a name, code without fences, and what is no code."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Resources, build
from guardproxy.checks.code import LABELS, MOST, language_of
from guardproxy.errors import OptionError
from guardproxy.findings import Window
from guardproxy.testing import assert_promise
from tests.kit.checks import CHANNEL, PROSE, assert_every_split, held_words, whole


def check(**options: Any) -> Any:
    return build("code", "code", options, Resources())


CHECK = check()


def found(text: str, **options: Any) -> list[tuple[str, str]]:
    every = assert_every_split(check(**options) if options else CHECK, text)
    return [(finding.label, text[finding.start : finding.end]) for finding in every]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi:\n```python\nx = 1\n```\nBye.", [("PYTHON", "x = 1")]),
        ("~~~JS\nx\n~~~", [("JAVASCRIPT", "x")]),
        ("```c++\nx\n\ny\n", [("C_LIKE", "x\n\ny")]),
        ("```{.ruby}\nputs 1\n```", [("OTHER", "puts 1")]),
        ("````sh\n```\nls\n````\nx", [("SHELL", "```\nls")]),
        ("```sql\n```\n", []),
        ("```sql\n\n \n```\n", []),
        ("```json\n{}\n```\n```text\nplain words\n```", []),
        ("```text\nSELECT a FROM b;\n```", [("SQL", "SELECT a FROM b;")]),
        ("```\nSELECT a FROM b;\n```", [("SQL", "SELECT a FROM b;")]),
        ("```\nplain words\n```", []),
        ("``` not `a` fence\nx", []),
        ("    ```python\n    x\n", []),
        ("```python\nx\n    ```\ny\n```", [("PYTHON", "x\n    ```\ny")]),
    ],
)
def test_code_in_fences(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


PYTHON = "def f(a):\n    if a is None:\n        return 1\n    return a\n"
SAMPLES = {
    "PYTHON": PYTHON,
    "JAVASCRIPT": "const a = [1, 2].map((x) => x + 1);\nconsole.log(a);\nexport default a;\n",
    "SQL": "SELECT name, total\nFROM orders\nWHERE total > 5;\nINSERT INTO orders (name) VALUES ('a');\n",
    "SHELL": "$ git clone https://example.com/a.git\n$ cd a && make -j4\n$ cat log.txt | grep -i error | wc -l\n",
    "HTML": '<!DOCTYPE html>\n<html><body>\n<div class="a"><p>Hello</p></div>\n</body></html>\n',
    "C_LIKE": '#include <stdio.h>\nint main(void) {\n    printf("%d", 1);\n    return 0;\n}\n',
}


@pytest.mark.parametrize("label", SAMPLES)
def test_code_without_fences(label: str) -> None:
    text = f"Look at this:\n\n{SAMPLES[label]}\nThat is all.\n"
    assert [found_label for found_label, _ in found(text)] == [label]


@pytest.mark.parametrize(
    "text",
    [
        PROSE[:600],
        "Please select the items from the list, and update the set. If it is so: stop.\n- a (b)\n- c = d\n",
        '{\n  "name": "a",\n  "list": [1, 2, 3],\n  "more": {"x": null}\n}\n',
        "Distance = 10 - 2\nSpeed = d / t\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "Find the cat. Make a list; echo my words.\n",
        "",
        "\ud800é" * 20,
    ],
)
def test_what_is_no_code(text: str) -> None:
    assert found(text) == []


def test_only_the_languages_that_the_policy_names() -> None:
    text = "```python\nx\n```\n```js\ny\n```\n```php\nz\n```\n"
    assert found(text, languages=["javascript"]) == [("JAVASCRIPT", "y")]
    assert check(languages=["sql"]).traits.labels == {"SQL"}


def test_the_score_follows_weight_and_share() -> None:
    assert language_of("plain") == ("", 0.0)
    assert language_of("x = 1") == ("", 0.0), "a weak sign alone"
    few, many = language_of(PYTHON + "word\n" * 20), language_of(PYTHON)
    assert few[0] == many[0] == "python"
    assert few[1] < 0.5 < many[1] < language_of(PYTHON * 5)[1]
    assert language_of(PYTHON + "word\n" * 20, is_fenced=True)[1] == many[1]
    assert found(PYTHON + "word\n" * 20, threshold=0.1) != []


def test_a_long_block_is_cut_at_a_line() -> None:
    text = "```python\n" + "x = 1\n" * 400 + "```\n" + "y" * (3 * MOST)
    every = whole(CHECK, text)
    assert len(every) == 3
    assert [text[finding.end : finding.end + 1] for finding in every] == ["\n"] * 3
    assert max(held_words(CHECK, PROSE)) < 200


def test_a_wrong_name_does_not_hide_code() -> None:
    text = f"```js\n{PYTHON}```\n"
    assert found(text) == [("JAVASCRIPT", PYTHON.strip())]
    assert found(text, languages=["python"]) == [("PYTHON", PYTHON.strip())]
    assert found(text, languages=["sql"]) == []


def test_no_cut_changes_what_is_found() -> None:
    parts = [
        "```",
        "\n",
        "python",
        "~~~",
        "def f(x):\n",
        "SELECT a FROM b;",
        "x" * 400,
        " ",
        "json",
        "\n\n",
        "<div>",
        "</div>",
    ]
    assert_promise(check(threshold=0.3), [*parts, "é", "\ud800", "git clone -q x"], 400)


def test_reviewers_are_told_of_a_low_threshold() -> None:
    assert [advice.key for advice in check(threshold=0.2).traits.advice] == ["threshold"]
    assert CHECK.traits.advice == ()
    assert CHECK.traits.labels == set(LABELS.values())


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown word `pyton` in `languages`; did you mean `python`"):
        check(languages=["pyton"])


def test_a_window_without_the_state_of_the_one_before_is_refused() -> None:
    with pytest.raises(ValueError, match="state"):
        CHECK.scan([Window(CHANNEL, "x", 5, 5)])
