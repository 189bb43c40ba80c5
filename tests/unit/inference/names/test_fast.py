"""The tagger `fast`, run as in production: what it finds, and that the tags of a text depend on that text alone."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Tag
from guardproxy.concurrency import stoppable
from guardproxy.errors import ConfigError
from guardproxy.inference.models import Models, find, load_tagger
from guardproxy.inference.names import fast, forms, weights
from guardproxy.inference.names.fast import FastTagger
from guardproxy.inference.names.weights import EXACT, read, rows_for, times
from models.encoder import write_sums
from tests.kit import names
from tests.kit.checks import PROSE, promise

ORDINARY = [
    *names.ORDINARY,
    "for (int i = 0; i < items.length; i++) { total += items[i].price; }",
]
WORDS = st.sampled_from(
    [
        "Mara",
        "Lindqvist",
        "Dr.",
        "kwame",
        "\n",
        "from",
        "Gothenburg,",
        "王小明",
        "\u200bAda",
        "x" * 90,
        "\ud800",
        "4th",
        "May",
        *PROSE.split()[:20],
    ]
)
TEXTS = st.lists(WORDS, max_size=30).map(" ".join)


@cache
def tagger() -> FastTagger:
    return FastTagger(read(find("fast")))


def fresh() -> FastTagger:
    """A tagger that has seen no word yet, with the weights of the other."""
    return FastTagger(tagger()._model)


def tagged(text: str) -> list[Tag]:
    return names.tagged(tagger(), text)


@pytest.mark.parametrize(("text", "wanted"), names.NAMES, ids=[text[:30] for text, _ in names.NAMES])
def test_names_are_found(text: str, wanted: dict[str, str]) -> None:
    assert names.missing(text, tagged(text), wanted) == {}


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_are_no_names(text: str) -> None:
    assert tagged(text) == []


@promise
@given(st.lists(TEXTS, max_size=6), st.randoms(use_true_random=False))
def test_company_and_what_was_read_before_change_nothing(texts: list[str], order: Any) -> None:
    alone = [fresh().tag([text])[0] for text in texts]
    assert tagger().tag(texts) == alone
    mixed = texts * 2
    order.shuffle(mixed)
    assert dict(zip(mixed, fresh().tag(mixed), strict=True)) == dict(zip(texts, alone, strict=True))


def test_so_many_words_that_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "REMEMBERED", 12)
    small = fresh()
    texts = [PROSE[at : at + 90] for at in range(0, 900, 45)]
    wanted = tagger().tag(texts)
    for _ in range(2):
        assert small.tag(texts) == wanted
        assert [small.tag([text])[0] for text in texts] == wanted
        assert len(small._known) <= 12


def test_only_hashes_of_words_are_kept() -> None:
    one = fresh()
    one.tag(["Zebulon Quistgaard"])
    assert all(isinstance(key, int) for key in one._known)
    assert not any(hasattr(value, "cache_info") for module in (fast, forms, weights) for value in vars(module).values())


def test_threads_may_share_it() -> None:
    texts = [PROSE[at : at + 120] for at in range(0, 1200, 30)]
    one = fresh()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda text: one.tag([text])[0], texts * 3))
    assert found == tagger().tag(texts) * 3


def test_known_words_do_not_wait_for_the_new_words_of_a_thread() -> None:
    one, begun, may_end = fresh(), Event(), Event()
    known = "we met Mara Lindqvist"
    wanted = one.tag([known])

    class Waiting:
        def __getattr__(self, name: str) -> Any:
            return getattr(tagger()._model, name)

        def alone(self, words: list[str]) -> Any:
            begun.set()
            assert may_end.wait(10)
            return tagger()._model.alone(words)

    one._model = Waiting()  # type: ignore[assignment]
    with ThreadPoolExecutor(2) as threads:
        try:
            slow = threads.submit(one.tag, ["Tunde Bakare flew to Nairobi"])
            assert begun.wait(10)
            assert threads.submit(one.tag, [known]).result(5) == wanted
        finally:
            may_end.set()
        assert slow.result(10) == tagger().tag(["Tunde Bakare flew to Nairobi"])


def test_a_long_text_is_read_to_its_end() -> None:
    text = "and then we walked on " * 300 + "with Mara Lindqvist."
    assert [text[tag.start : tag.end] for tag in tagged(text)][-1:] == ["Mara Lindqvist"]


def test_a_long_scan_has_stop_points() -> None:
    texts = ["we met Mara Lindqvist there " * 40] * 40
    stops: list[int] = []
    with stoppable(lambda: stops.append(1)):
        tagger().tag(texts)
    assert len(stops) >= len(forms.words(texts[0])) * len(texts) // (2 * fast.AT_ONCE)


def test_spans_have_no_signs_at_their_ends() -> None:
    text = '"Mara Lindqvist" (Mara Lindqvist), *Mara Lindqvist*'
    assert {text[tag.start : tag.end] for tag in tagged(text) if tag.label == "PERSON"} == {"Mara Lindqvist"}


def test_line_ends_and_gaps_are_seen() -> None:
    text = "\nAda: hi\n\nBo,x\n"
    assert fast._gaps(text, [(1, 4), (4, 5), (6, 8), (10, 12), (12, 13), (13, 14)]).tolist() == [2, 0, 1, 2, 0, 0]


def test_text_of_programs_has_a_limit_of_its_own() -> None:
    prose, code = "we met Mara Lindqvist in Oslo", 'user = {"name": "Mara Lindqvist"}'
    model = tagger()._model
    strict_in_code, strict_in_prose = replace(model, program_bias=-20.0), replace(model, bias=-20.0, program_bias=5.0)
    for changed, wanted in (strict_in_code, [True, False]), (strict_in_prose, [False, True]):
        found = FastTagger(changed).tag([prose, code, prose])
        assert [bool(tags) for tags in found] == [*wanted, wanted[0]]


def test_a_folder_without_a_limit_for_programs(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("program_bias", None)
    path.write_text(json.dumps(config | {"bias": 0.5}))
    write_sums(folder, ("config.json", "weights.npz", "words.json"))
    assert read(folder).program_bias == 0.5


def test_products_do_not_depend_on_the_number_of_rows() -> None:
    rng = np.random.default_rng(7)
    matrix = rng.integers(-200, 200, (96, 40)).astype(np.float32)
    rows = rows_for(53, 96)
    rows[:53] = rng.integers(0, 511, (53, 96))
    wanted = rows.astype(np.int64) @ matrix.astype(np.int64)
    assert (times(rows, matrix) == wanted).all()
    for count in (1, 7, 8, 9):
        few = rows_for(count, 96)
        few[:count] = rows[:count]
        assert (times(few, matrix)[:count] == wanted[:count]).all()


def copy(folder: Path) -> Path:
    shutil.copytree(find("fast"), folder / "mine", ignore=shutil.ignore_patterns("*.md", "figures.json"))
    return folder / "mine"


def changed(folder: Path, **arrays: Any) -> None:
    path = folder / "weights.npz"
    with np.load(path) as held:
        kept = {name: held[name] for name in held.files}
    np.savez(path, **{name: array for name, array in (kept | arrays).items() if array is not None})
    write_sums(folder, ("config.json", "weights.npz", "words.json"))


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    mine = Models((tmp_path,)).tagger("mine")
    assert mine.digest == tagger().digest
    changed(folder, out_bias=np.array([1 << 20, *[0] * 10]))
    other = load_tagger("mine", (tmp_path,))
    assert other.digest != mine.digest
    assert other.tag([names.NAMES[0][0]]) == [[]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"table": None}, "does not hold the weights"),
        ({"out": np.zeros((4, 11), np.int16)}, "`out` has the shape"),
        ({"layer1": np.full((288, 96), 500, np.int16)}, f"can exceed {EXACT:,}"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    changed(copy(tmp_path), **arrays)
    with pytest.raises(ConfigError, match=message):
        load_tagger("mine", (tmp_path,))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"reach": [', '"reach": ["far", ', "`reach` must list"),
        ('"thresholds": {', '"thresholds": {"X": 1,', "`thresholds` must have"),
        ('"temperature": ', '"temperature": -', "`temperature` must be"),
        ('"program_bias": ', '"program_bias": "high", "other": ', "`program_bias` must be"),
        ('"labels": [', '"labels": [1, ', "`labels` must be"),
        ('"kind": "forms"', '"kind": "tags"', "does not name `model.onnx`"),
        ('"format": 1', '"format": 9', "`format` must be 1"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = copy(tmp_path)
    path = folder / "config.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    write_sums(folder, ("config.json", "weights.npz", "words.json"))
    with pytest.raises(ConfigError, match=message):
        load_tagger("mine", (tmp_path,))


def test_words_that_stand_in_no_list(tmp_path: Path) -> None:
    assert weights._places(np.array([3, 7], np.uint32), np.array([0, 7, 9], np.uint32))[1].tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["accurate", "names"])
def test_the_network_has_two_words(name: str) -> None:
    models = Models()
    assert models.tagger(name) is models.tagger("names")
    assert models.tagger("fast") is not models.tagger(name)


def test_a_folder_comes_before_another_word_for_the_network(tmp_path: Path) -> None:
    shutil.move(copy(tmp_path), tmp_path / "accurate")
    assert load_tagger("accurate", (tmp_path,)).digest == tagger().digest


def test_a_configuration_that_cannot_be_read_names_no_kind(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="SHA256SUMS"):
        load_tagger("mine", (tmp_path,))
