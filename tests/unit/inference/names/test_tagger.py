"""The shipped name tagger, run as in production: it knows names from ordinary words, and no text is cut short."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from guardproxy.checks._shared.declared.contract import Tag
from guardproxy.concurrency import stoppable
from guardproxy.errors import ConfigError
from guardproxy.inference.models import find, load, load_tagger, read_tags
from guardproxy.inference.names.tagger import OVERLAP_TOKENS, OnnxTagger, case_of, words_of
from guardproxy.inference.names.tags import FILES
from guardproxy.inference.running.session import Session
from models.encoder import write_sums
from tests.kit import names

ORDINARY = [
    *names.ORDINARY,
    "How many eggs do I need for a cake?",
    "Will it rain, and may I borrow an umbrella?",
]


@cache
def tagger() -> OnnxTagger:
    return OnnxTagger(read_tags(find("names")), 1)


def tagged(text: str) -> list[Tag]:
    return names.tagged(tagger(), text)


@pytest.mark.parametrize(("text", "wanted"), names.NAMES, ids=[text[:30] for text, _ in names.NAMES])
def test_names_are_found(text: str, wanted: dict[str, str]) -> None:
    assert names.missing(text, tagged(text), wanted) == {}


@pytest.mark.parametrize(
    "hidden",
    ["\u200b".join("Lindqvist"), "Lind\u00adqvist", "Lind\u2060\ufeffqvist", "Ｌｉｎｄｑｖｉｓｔ"],
    ids=["zero-width", "soft hyphen", "joiners", "full-width"],
)
def test_a_name_is_found_through_what_hides_it(hidden: str) -> None:
    text = f"My name is Mara {hidden}, what should I cook?"
    assert any(tag.label == "PERSON" and hidden in text[tag.start : tag.end] for tag in tagged(text))


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_are_not(text: str) -> None:
    assert [tag for tag in tagged(text) if tag.label in ("PERSON", "LOCATION", "ORGANIZATION")] == []


def test_tags_are_in_order_apart_and_without_the_quotes_around_them() -> None:
    text = '"Ada Lovelace", "Grace Hopper" and (Alan Turing) met in London.'
    tags = tagged(text)
    assert [text[tag.start : tag.end] for tag in tags] == ["Ada Lovelace", "Grace Hopper", "Alan Turing", "London"]
    assert all(before.end <= after.start for before, after in pairwise(tags))


@pytest.mark.parametrize(
    ("word", "case"),
    [
        ("42", 0),
        ("-", 0),
        ("word", 1),
        ("漢字", 1),
        ("Word", 2),
        ("WORD", 3),
        ("iPhone", 4),
        ("McGee", 4),
        ("A", 5),
        ("b2b", 6),
    ],
)
def test_how_a_word_is_written(word: str, case: int) -> None:
    assert case_of(word) == case


def test_the_words_of_an_encoding_are_those_of_the_text() -> None:
    text = "Dr. Müller-Lüdenscheidt's file"
    encoding = Tokenizer.from_file(str(find("names") / "tokenizer.json")).encode(text, add_special_tokens=False)
    words = [text[start:end] for _, _, start, end in words_of(text, encoding)]
    assert words == ["Dr", ".", "Müller", "-", "Lüdenscheidt", "'", "s", "file"]


def test_how_a_word_is_written_changes_what_it_is() -> None:
    small, large = tagger().tag(["i saw will and mark at noon", "I saw Will and Mark at noon"])
    assert {(tag.start, tag.end) for tag in large if tag.label == "PERSON" and tag.score > 0.5} >= {(6, 10), (15, 19)}
    assert [tag.score for tag in small] != [tag.score for tag in large]


def test_no_text_is_cut_short() -> None:
    filler = "the meeting was moved to another room because the first one was too small for all of us. "
    text = filler * 40 + "Please ask Mara Lindqvist about it. " + filler * 3
    assert any("Lindqvist" in text[tag.start : tag.end] for tag in tagged(text))


def test_a_long_text_is_tagged_in_overlapping_pieces() -> None:
    room = tagger()._model.max_tokens - 2
    for count in (room - 1, room, room + 1, 2 * room, 3 * room + 5):
        found = tagger()._long([5000 + at for at in range(count)], [1] * count, room)
        assert found.shape[0] == count
    assert room // 2 > OVERLAP_TOKENS // 2


@pytest.mark.parametrize("text", ["", " \n", "\ud83d", "a\ud83dBob Smith", "\u200b", "🙂" * 300, "x" * 3000])
def test_any_text_can_be_tagged(text: str) -> None:
    (tags,) = tagger().tag([text])
    assert all(0 <= tag.start < tag.end <= len(text) for tag in tags)


def test_a_text_is_tagged_alike_whatever_stands_beside_it() -> None:
    texts = [text for text, _ in names.NAMES]
    assert tagger().tag(texts) == [tagger().tag([text])[0] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: tagger().tag([text])[0], texts * 4)) == tagger().tag(texts) * 4


def copy(folder: Path) -> Path:
    shutil.copytree(find("names"), folder / "mine", ignore=shutil.ignore_patterns("*.py", "*.md", "*.png"))
    return folder / "mine"


def changed(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    write_sums(folder, FILES)
    return folder


def test_a_folder_is_named_and_its_digest_is_that_of_its_content(tmp_path: Path) -> None:
    same = load_tagger("mine", (copy(tmp_path).parent,))
    assert same.digest == tagger().digest
    words = json.loads((tmp_path / "mine" / "words.json").read_text())
    changed(tmp_path / "mine", "words.json", {**words, "plain": words["plain"][1:]})
    assert load_tagger("mine", (tmp_path,)).digest != same.digest


def test_a_changed_list_of_words_is_refused(tmp_path: Path) -> None:
    with (copy(tmp_path) / "words.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ConfigError, match=r"words.json does not match SHA256SUMS"):
        load_tagger("mine", (tmp_path,))


@pytest.mark.parametrize("content", ["[]", "{", {"plain": []}, {"plain": 1, "timeless": []}])
def test_what_holds_no_word_lists_is_refused(tmp_path: Path, content: Any) -> None:
    changed(copy(tmp_path), "words.json", content)
    with pytest.raises(ConfigError, match="word lists"):
        load_tagger("mine", (tmp_path,))


@pytest.mark.parametrize(("content", "message"), [("{}", "not a tokenizer"), (None, r"lacks \[SEP\]")])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    folder = copy(tmp_path)
    spec = (folder / "tokenizer.json").read_text().replace("[SEP]", "[END]")
    changed(folder, "tokenizer.json", content or spec)
    with pytest.raises(ConfigError, match=message):
        load_tagger("mine", (tmp_path,))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("special", {"first": "[CLS]"}, "`special` must name the tokens `first` and `last`"),
        ("special", "[CLS]", "`special` must name the tokens"),
        ("special", {"first": "[CLS]", "last": "</s>"}, "lacks </s>"),
        ("inputs", [], "`inputs` must list those of the network: input_ids, attention_mask, case_ids"),
        ("inputs", "input_ids", "`inputs` must list"),
        ("inputs", ["input_ids", "token_type_ids"], "`inputs` must list"),
    ],
)
def test_tokens_and_inputs_that_are_not_there_are_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    folder = copy(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    changed(folder, "config.json", {**config, key: value})
    with pytest.raises(ConfigError, match=message):
        load_tagger("mine", (tmp_path,))


def test_what_the_shipped_model_leaves_out_may_be_said(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    said = {"special": {"first": "[CLS]", "last": "[SEP]"}, "inputs": ["case_ids", "input_ids"]}
    changed(folder, "config.json", config | said)
    texts = [text for text, _ in names.NAMES]
    assert load_tagger("mine", (tmp_path,)).tag(texts) == tagger().tag(texts)


def test_a_network_for_other_labels_is_refused(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["labels"] = config["labels"][:3]
    for key in ("thresholds", "biases", "temperatures"):
        config[key] = {label: config[key][label] for label in config["labels"]}
    changed(folder, "config.json", config)
    with pytest.raises(ConfigError, match="two tags for each of `labels`"):
        load_tagger("mine", (tmp_path,))


def test_a_model_that_scores_is_no_tagger_nor_the_other_way_round() -> None:
    with pytest.raises(ConfigError, match=r"does not name `words\.json`"):
        load_tagger("supervisor")
    with pytest.raises(ConfigError, match="gives `tags`, but a model that gives `scores` is needed"):
        load(find("names"))


def test_each_pass_of_the_network_can_be_stopped_before() -> None:
    """Texts without spaces make many tokens, and so many passes: others must not wait for all of them."""
    passes: list[int] = []
    stops: list[int] = []

    class Counting(Session):
        def __init__(self, session: Session) -> None:
            self._real = session
            self.provider = session.provider

        def rows(self, output: str, **inputs: Any) -> Any:
            passes.append(len(stops))
            return self._real.rows(output, **inputs)

    counting = OnnxTagger(read_tags(find("names")), 1)
    counting._session = Counting(counting._session)
    with stoppable(lambda: stops.append(1)):
        counting.tag(["Ada.", "\\u0041" * 400, "Mara."])
    assert len(passes) > 4
    assert len(set(passes)) == len(passes)  # between any two passes there is a stop point
