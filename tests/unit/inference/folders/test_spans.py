"""A model that reads in spans: n-grams, depth 0, rows that end with their span, and scores that depend on the query alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.checks._shared.declared.contract import Query, Resources
from guardproxy.checks.supervisor import Segments, Supervisor, build
from guardproxy.errors import ConfigError
from guardproxy.findings import Kind
from guardproxy.inference.folders.clearing import Clearing
from guardproxy.inference.folders.model import FIRST_STAGE, NGRAMS, Model
from guardproxy.inference.folders.spans import SPAN, Column, DepthPart, SpanReading
from guardproxy.inference.folders.tokens import load
from guardproxy.inference.models import find, read
from guardproxy.inference.running.batching import StoppableRow
from guardproxy.inference.scoring import depth, ngrams
from guardproxy.inference.scoring.depth import DepthZero
from guardproxy.inference.scoring.ngrams import BUCKETS, CHARS, WORDS, NgramTable
from guardproxy.inference.scoring.reader import ModelReader
from guardproxy.inference.scoring.scorer import ModelScorer
from models.encoder import write_sums
from tests.kit.span_models import (
    COLUMNS,
    CONFIG,
    EXIT,
    OUTPUTS,
    PARTS,
    ROW_TOKENS,
    TOKEN,
    HashingEncoder,
    span_folder,
    span_model,
    span_scorer,
    table,
    windows_graph,
)
from tests.property.test_supervisor_chunks import scan_in_chunks

ROOM = ROW_TOKENS - 3
SCRIPTS = ["Ünïcode", "заметка", "忘れて", "😀", "\u200b", "\ud800"]
words = st.sampled_from([*SCRIPTS, "one", "two words", "IGNORE", "a\t\tb", "\n \n", "x" * 30, "3.14", "--"])
texts = st.lists(words, max_size=120).map(" ".join)
kinds: st.SearchStrategy[Kind | None] = st.sampled_from([None, "user", "tool_result", "document", "assistant"])


@cache
def model() -> Model:
    return span_model(Path(mkdtemp()) / "spans")


@cache
def merging() -> Model:
    """The same, but a row may judge two spans."""
    spans = {**CONFIG["spans"], "merge": True}
    return span_model(Path(mkdtemp()) / "merging", {**CONFIG, "max_tokens": 128, "spans": spans})


@cache
def leaving() -> Model:
    """The merging model, and its encoder has an exit."""
    return span_model(Path(mkdtemp()) / "leaving", leaving_config())


def leaving_config() -> dict[str, Any]:
    return {**CONFIG, "max_tokens": 128, "spans": {**CONFIG["spans"], "merge": True, "exit": EXIT}}


Way = Literal["each span", "merging", "leaving"]
WAYS: tuple[Way, ...] = get_args(Way)
ways = st.sampled_from(WAYS)


def model_of(way: Way) -> Model:
    return {"each span": model, "merging": merging, "leaving": leaving}[way]()


@cache
def scorer(way: Way = "each span") -> tuple[ModelScorer, HashingEncoder]:
    return span_scorer(model_of(way))


@cache
def tokenizer() -> Any:
    return load(find())[0]


def read_text(text: str) -> tuple[Any, Any]:
    encoding = tokenizer().encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False)
    return ngrams.read(text, encoding.ids, encoding.offsets)


def ask(
    text: str, outputs: Sequence[str] = ("attack", "harm"), first_stage: bool = True, kind: Kind | None = "user"
) -> Query:
    return Query(text, tuple(outputs), first_stage, kind)


# n-grams


def plainly(numbers: Sequence[int], size: int, factors: Sequence[int], start: int) -> list[int]:
    """The buckets of the n-grams of one size, in plain arithmetic."""
    found = []
    for end in range(size, len(numbers) + 1):
        total = start + sum(numbers[end - 1 - back] * factors[back] for back in range(size))
        found.append((total % 2**32) >> 14)
    return found


@given(st.lists(st.integers(0, 30_521), max_size=150), st.binary(max_size=400), st.data())
def test_each_n_gram_is_in_the_span_in_which_it_ends(ids: list[int], content: bytes, data: st.DataObject) -> None:
    ends = ngrams.token_ends(len(ids))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), min_size=len(ends) - 1, max_size=len(ends) - 1)))
    places, borders = ngrams.grams(ids, ends, np.frombuffer(content, np.uint8), np.array([*cuts, len(content)]))
    kinds: list[tuple[list[int], int, tuple[int, ...], list[int]]]
    kinds = [(ids, size, ngrams._WORD_FACTORS, ends.tolist()) for size in WORDS]
    kinds += [(list(content), size, ngrams._CHAR_FACTORS, [*cuts, len(content)]) for size in CHARS]
    for kind, (numbers, size, factors, last) in enumerate(kinds):
        expected = plainly(numbers, size, factors, ngrams._STARTS[kind])
        for span, (begin, end) in enumerate(zip([0, *last], last, strict=False)):
            found = places[borders[kind, span] : borders[kind, span + 1]].tolist()
            assert found == [expected[at - size] for at in range(max(begin + 1, size), end + 1)]
    assert len(places) == borders[-1, -1]


@given(st.text(), st.data())
def test_bytes_are_folded_and_places_follow(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=1)))
    content, places = ngrams.read_bytes(text, ends)

    def folded(part: str) -> bytes:
        found = bytearray()
        for raw in part.encode("utf-8", "replace"):
            byte = 32 if raw in b" \t\n\v\f\r" else raw + 32 if 65 <= raw <= 90 else raw
            if byte != 32 or found[-1:] != b" ":
                found.append(byte)
        return bytes(found)

    assert content.tobytes() == folded(text)
    assert [content[:place].tobytes() for place in places.tolist()] == [folded(text[:end]) for end in ends]


def test_places_that_a_tokenizer_gives_out_of_order_lose_no_n_gram() -> None:
    offsets = [(0, 0)] * SPAN + [(0, 3)] * (SPAN - 1) + [(0, 9)] + [(0, 4)] * SPAN + [(0, 12)]
    _, borders = ngrams.read("twelve chars", [7] * len(offsets), offsets)
    assert (np.diff(borders) >= 0).all()
    assert borders[-1, -1] - borders[3, 0] == 10 + 9 + 8


@given(texts, texts)
def test_a_span_depends_on_nothing_to_its_right(text: str, more: str) -> None:
    """Where the tokens of the begin stay as they are: a word that goes on is another word."""
    weights = shared_table()
    before, after = (read_text(part) for part in (f"{text} end.", f"{text} end. {more}"))
    whole = before[1].shape[1] - 2  # the last span of the shorter text may have grown
    assert weights.sums(*after)[:whole].tolist() == weights.sums(*before)[:whole].tolist()


@cache
def shared_table() -> NgramTable:
    return NgramTable(model().folder / NGRAMS, len(COLUMNS))


@given(texts)
def test_a_sum_is_that_of_its_weights(text: str) -> None:
    places, borders = read_text(text)
    found = shared_table().sums(places, borders)
    rows = table()
    for span in range(borders.shape[1] - 1):
        own = [place for low, high in borders[:, span : span + 2] for place in places[low:high].tolist()]
        total = rows[own].astype(int).sum(0)
        assert found[span] == pytest.approx(total / max(1, len(own)) ** 0.75)


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 8])
def test_a_table_of_any_number_of_columns(tmp_path: Path, columns: int) -> None:
    rows = np.random.default_rng(columns).integers(-127, 128, (BUCKETS, columns), dtype=np.int8)
    rows.tofile(tmp_path / NGRAMS)
    places = np.array([5, BUCKETS - 1, 5], np.uint32)
    found = NgramTable(tmp_path / NGRAMS, columns).sums(places, np.array([[0, 2, 3]]))
    assert found == pytest.approx(np.stack([rows[[5, BUCKETS - 1]].astype(int).sum(0) / 2**0.75, rows[5]]))
    with pytest.raises(ConfigError, match=f"must hold 262,144 rows of {columns + 1} bytes"):
        NgramTable(tmp_path / NGRAMS, columns + 1)


# depth 0


def network(graph: bytes, tmp_path: Path, columns: int = 1) -> DepthZero:
    (tmp_path / FIRST_STAGE).write_bytes(graph)
    np.zeros((BUCKETS, columns), np.int8).tofile(tmp_path / NGRAMS)
    reading = SpanReading((Column(1.0, 2.0, {"any": 0.25}),) * columns, {})
    return DepthZero(reading, tmp_path / NGRAMS, tmp_path / FIRST_STAGE)


@given(st.integers(1, 20), st.data())
def test_a_window_counts_in_the_span_in_which_it_ends(block: int, data: st.DataObject) -> None:
    """In blocks of any size. The last window may end with the text."""
    zero = shared_network()
    count = data.draw(st.integers(0, 12 * SPAN))
    places = data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=3))
    ids = [TOKEN if at in places else 7 for at in range(count)]
    spans = max(1, -(-count // SPAN))
    expected = [0.0 if ids else depth.LOWEST] * spans
    for begin in range(0, count, SPAN // 2):
        if TOKEN in ids[begin : begin + SPAN]:
            expected[(min(begin + SPAN, count) - 1) // SPAN] = 1.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depth, "BLOCK_SPANS", block)
        found = zero.logits("", ids, [(0, 0)] * count, "user")
    assert found[:, 0].tolist() == [0.25 + 2 * value for value in expected]


@cache
def shared_network() -> DepthZero:
    return network(windows_graph(TOKEN), Path(mkdtemp()))


@pytest.mark.parametrize(
    ("graph", "columns", "message"),
    [
        (b"not a network", 1, "cannot be run"),
        (windows_graph(TOKEN), 2, "does not fit `spans` in config.json: IndexError"),
        (windows_graph(TOKEN).replace(b"logits", b"others"), 1, "does not fit `spans` in config.json"),
        (windows_graph(TOKEN).replace(b"\x40\x18", b"\x40\x0c"), 1, "does not fit `spans` in config.json: ValueError"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path: Path, graph: bytes, columns: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network(graph, tmp_path, columns)


# the configuration


def exit_with(**numbers: Any) -> dict[str, Any]:
    """The exit with other numbers for an output."""
    return {**EXIT, "outputs": {"harm": {"column": 0, "slope": 1.0, "alone": 0.0, **numbers}}}


def changed(path: Sequence[Any], value: Any) -> dict[str, Any]:
    """The configuration with another value at a place."""
    config = deepcopy(CONFIG)
    inner: Any = config
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["spans"], [], "must have `tokens`, `columns` and `outputs`"),
        (["spans"], {"tokens": 48}, "must have `tokens`, `columns` and `outputs`"),
        (["spans", "tokens"], 64, "`tokens` must be 48"),
        (["spans", "columns"], [], "`columns` must be a list of 1 to 8 columns"),
        (["spans", "columns"], [COLUMNS[0]] * 9, "`columns` must be a list of 1 to 8 columns"),
        (["spans", "columns", 0], {"scale": 1.0}, "each of `columns` must have `scale`, `network` and `bias`"),
        (["spans", "columns", 0, "bias"], 1.0, "each of `columns` must have `scale`, `network` and `bias`"),
        (["spans", "columns", 0, "bias"], {"user": 1.0}, "`bias` must have `any`"),
        (["spans", "columns", 0, "bias"], {"any": 1.0, "attic": 1.0}, "no more than kinds of channel"),
        (["spans", "columns", 0, "scale"], float("nan"), "numbers of `columns` must be from -1000 to 1000"),
        (["spans", "columns", 0, "network"], "1", "numbers of `columns` must be from -1000 to 1000"),
        (["spans", "columns", 0, "bias", "any"], True, "numbers of `columns` must be from -1000 to 1000"),
        (["spans", "outputs"], {"unknown": PARTS["harm"]}, "`outputs` must map outputs"),
        (["spans", "outputs", "harm"], {"column": 1}, "`harm` must have `column`, `weight`, `slope` and `alone`"),
        (["spans", "outputs", "harm", "column"], 2, "the `column` of `harm` must be the number"),
        (["spans", "outputs", "harm", "column"], True, "the `column` of `harm` must be the number"),
        (["spans", "outputs", "harm", "weight"], -1.0, "`harm` must have a `weight` and a `slope` from 0"),
        (["spans", "outputs", "harm", "slope"], -0.1, "`harm` must have a `weight` and a `slope` from 0"),
        (["spans", "outputs", "harm", "alone"], None, "`harm` must have a `weight` and a `slope` from 0"),
        (["first_stage", "harm", "column"], 0, "`harm` must have the `column` that it has in `spans`"),
        (["first_stage", "other"], {"column": 0, "below": 0.1, "least": 0.6}, "`other` must have the `column`"),
        (["activation"], "softmax", "`spans` needs `sigmoid`"),
        (["spans", "merge"], 1, "`merge` must be true or false"),
        (["spans", "exit"], [], "`exit` must have `columns` and `outputs`"),
        (["spans", "exit"], {**EXIT, "columns": []}, "`columns` of `exit` must list the bias of 1 to 8 columns"),
        (["spans", "exit"], {**EXIT, "columns": {}}, "`columns` of `exit` must list the bias of 1 to 8 columns"),
        (["spans", "exit"], {**EXIT, "columns": [{"any": 0.0}, 1.0]}, "and `bias` by kind of channel"),
        (["spans", "exit"], {**EXIT, "outputs": []}, "`outputs` of `exit` must map outputs of `spans`"),
        (["spans", "exit"], {**EXIT, "outputs": {"other": {}}}, "`outputs` of `exit` must map outputs of `spans`"),
        (["spans", "exit"], {**EXIT, "outputs": {"harm": {}}}, "`harm` of `exit` must have `column`, `slope` and `alone`"),
        (["spans", "exit"], exit_with(column=2), "the `column` of `harm` must be the number"),
        (["spans", "exit"], exit_with(slope=0.0), "the `slope` of `harm` of `exit` must be above 0"),
        (["spans", "exit"], exit_with(alone="1"), "`harm` must have a `weight` and a `slope` from 0"),
        (["spans", "exit"], {**EXIT, "columns": [{"any": 0.0, "assistant": 1.0}, {"any": 0.0}]}, "`bias` must be the same for"),
        (["spans", "merge"], True, "`merge` needs `max_tokens` of at least 99"),
        (["length_pieces"], -1, "`length_pieces` must be a whole number"),
        (["channels"], {"user": 1}, "`bias` must be the same for `tool_result` and `any`"),
        (["channels", "assistant"], 2, "`bias` must be the same for `tool_result` and `assistant`"),
    ],
)  # fmt: skip
def test_a_configuration_that_does_not_fit_is_refused(
    tmp_path: Path, path: list[Any], value: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        span_scorer(span_model(tmp_path, changed(path, value)))


@pytest.mark.parametrize("name", [NGRAMS, FIRST_STAGE])
def test_a_file_that_is_missing_or_changed_is_refused(tmp_path: Path, name: str) -> None:
    folder = span_folder(tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"\x00" + content[-1:])
    with pytest.raises(ConfigError, match="does not match SHA256SUMS"):
        read(folder, remote=True)
    (folder / name).unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        read(folder, remote=True)
    write_sums(folder, sorted({"tokenizer.json", "config.json", NGRAMS, FIRST_STAGE} - {name}))
    with pytest.raises(ConfigError, match=r"`spans` needs ngrams\.bin, and"):
        read(folder, remote=True)


def test_a_column_may_do_without_the_network(tmp_path: Path) -> None:
    folder = span_folder(tmp_path, changed(["spans", "columns", 0, "network"], 0.0))
    (folder / FIRST_STAGE).unlink()
    write_sums(folder, ("tokenizer.json", "config.json", NGRAMS))
    (pieces,) = span_scorer(read(folder, remote=True))[0].judge([ask("one two three " * 40)])
    assert len(pieces) == 3


def test_a_document_has_the_bias_of_a_tool_result() -> None:
    spans = model().spans
    assert spans
    found = [spans.columns[0].bias_in(kind) for kind in ("user", "tool_result", "document")]
    assert found == [0.0, 0.5, 0.5]
    assert spans.columns[0].bias_in(None) == 0.0


# reading


@given(st.integers(0, 3000))
def test_a_row_ends_with_its_span_and_begins_as_early_as_it_may(count: int) -> None:
    pieces = scorer()[0].reader.borders(count)
    assert [end for _, end in pieces] == ngrams.token_ends(count).tolist()
    assert [start for start, _ in pieces] == [max(0, end - ROOM) for _, end in pieces]


def expected(query: Query, encoder: HashingEncoder, way: Way) -> list[tuple[dict[str, float], bool]]:
    """The scores of each span and whether it is cleared, worked out by hand."""
    spans = model_of(way).spans
    assert spans
    room = model_of(way).max_tokens - 3
    encoding = tokenizer().encode(query.text.encode("utf-8", "replace").decode(), add_special_tokens=False)
    zero = DepthZero(spans, model().folder / NGRAMS, model().folder / FIRST_STAGE)
    found: list[tuple[dict[str, float], bool]] = []
    by_exit: list[dict[str, float] | None] = []
    for at, logits in enumerate(zero.logits(query.text, encoding.ids, encoding.offsets, query.kind).tolist()):
        end = min(len(encoding.ids), SPAN * (at + 1))
        token = {"user": [1], "tool_result": [2], "document": [2]}.get(query.kind or "", [])
        row = (101, *token, *encoding.ids[max(0, end - room) : end], 102)

        def score(output: str, logit: float, added: float) -> float:
            calibration = model().calibration[output]
            value = (logit + added - calibration.bias) / calibration.temperature
            return round(1 / (1 + math.exp(-max(-60.0, min(60.0, value)))), 6)

        added = {name: part.weight * logits[part.column] for name, part in spans.parts.items()}
        alone = {name: score(name, part.alone, part.slope * logits[part.column]) for name, part in spans.parts.items()}
        known = query.first_stage and all(output in model().clearing for output in query.outputs)
        cleared = known and all(alone[output] < model().clearing[output].below for output in query.outputs)
        of_encoder = dict(zip(OUTPUTS, encoder.logits(row), strict=True))
        both = {output: score(output, of_encoder[output], added.get(output, 0.0)) for output in query.outputs}
        found.append(({output: alone[output] for output in query.outputs} if cleared else both, cleared))
        if spans.exit:
            raw = encoder.exit_logits(row)
            columns = [
                logit + column.bias_in(query.kind) for logit, column in zip(raw, spans.exit.columns, strict=True)
            ]
            parts = spans.exit.parts
            left = {name: score(name, part.alone, part.slope * columns[part.column]) for name, part in parts.items()}
            leaves = known and all(left[output] < model().clearing[output].below for output in query.outputs)
            by_exit.append({output: left[output] for output in query.outputs} if leaves else None)
        else:
            by_exit.append(None)
    judges = [None if cleared else at for at, (_, cleared) in enumerate(found)]
    if way != "each span":
        for _, run in groupby(range(len(found)), lambda at: found[at][1]):
            for at in list(run)[-2::-2]:
                judges[at] = None if found[at][1] else at + 1
    return [
        own if judge is None else found[judge] if (by := by_exit[judge]) is None else (by, True)
        for own, judge in zip(found, judges, strict=True)
    ]


queries = st.builds(
    ask, texts, st.sampled_from([("attack",), ("harm", "attack"), ("other", "attack")]), st.booleans(), kinds
)


@settings(max_examples=90, deadline=None)
@given(queries, ways)
def test_a_score_is_that_of_both_logits_and_a_cleared_span_keeps_that_of_what_cleared_it(
    query: Query, way: Way
) -> None:
    judging, encoder = scorer(way)
    encoder.ran.clear()
    encoder.stopped.clear()
    (pieces,) = judging.judge([query])
    assert [(dict(piece.scores), piece.cleared) for piece in pieces] == expected(query, encoder, way)
    assert (pieces[0].start, pieces[-1].end) == (0, len(query.text))
    open_spans = sum(not piece.cleared for piece in pieces)
    assert len(set(encoder.ran)) == len(encoder.ran)
    assert len(encoder.ran) - len(encoder.stopped) <= open_spans
    assert all(len(row) <= judging.model.max_tokens for row in encoder.ran)


@settings(max_examples=30, deadline=None)
@given(texts, kinds)
def test_a_merging_model_reads_half_of_the_rows_where_nothing_is_cleared(text: str, kind: Kind | None) -> None:
    judging, encoder = scorer("leaving")
    encoder.ran.clear()
    (pieces,) = judging.judge([ask(text, first_stage=False, kind=kind)])
    assert not any(isinstance(row, StoppableRow) for row in encoder.ran)
    assert len(encoder.ran) <= -(-len(pieces) // 2)
    ends = {row[-4:-1] for row in encoder.ran}
    ids = tokenizer().encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
    if len(ids) > 3:
        assert tuple(ids[-3:]) in ends, "the end of a text is read"


def test_some_rows_stop_at_the_exit_and_run_again_where_more_is_asked() -> None:
    """A row that stopped for one query may be needed to its end by another."""
    text = " ".join(f"word {number}" for number in range(1500))
    judging, encoder = span_scorer(leaving(), remembered=1000)
    (pieces,) = judging.judge([ask(text, ("attack",))])
    stopped = len(encoder.stopped)
    assert 0.1 < stopped / len(encoder.ran) < 0.9
    (merged,) = scorer("merging")[0].judge([ask(text, ("attack",))])
    assert sum(piece.cleared for piece in pieces) > sum(piece.cleared for piece in merged)
    ran = len(encoder.ran)
    judging.judge([ask(text, ("attack",))])
    assert len(encoder.ran) == ran, "what the exit says is remembered"
    (whole,) = judging.judge([ask(text, ("attack",), first_stage=False)])
    assert whole == span_scorer(leaving())[0].judge([ask(text, ("attack",), first_stage=False)])[0]
    ran = len(encoder.ran)
    assert judging.judge([ask(text, ("attack",))]) == [pieces], "whatever else was judged meanwhile"
    assert len(encoder.ran) == ran


def test_a_limit_of_0_stops_no_row(tmp_path: Path) -> None:
    config = deepcopy(leaving_config())
    config["first_stage"]["attack"] = {"column": 0, "below": 0.0, "least": 1.0}
    reader = span_scorer(span_model(tmp_path, config))[0].reader
    assert reader.stops_below(ask("", ("attack",))) == (math.inf, -math.inf)


@given(
    st.floats(0.001, 1.0),
    st.floats(0.001, 900.0),
    st.floats(-900.0, 900.0),
    st.sampled_from([3, 6, 12]),
    st.floats(-900.0, 900.0, width=32),
)
def test_a_row_that_stops_is_cleared(below: float, slope: float, alone: float, digits: int, logit: float) -> None:
    """Whatever the numbers of a configuration are, and however scores are rounded: otherwise it would have no score."""
    given_model = leaving()
    spans = given_model.spans
    assert spans
    assert spans.exit
    parts = {"attack": DepthPart(1, 0.0, slope, alone)}
    clearing = {"attack": Clearing(0, below, 1.0)}
    changed_model = replace(given_model, clearing=clearing, spans=replace(spans, exit=replace(spans.exit, parts=parts)))
    reader = ModelReader(changed_model, digits)
    query = ask("", ("attack",))
    limit = float(np.float32(reader.stops_below(query)[1]))
    for found in (logit, float(np.nextafter(np.float32(limit), np.float32(-np.inf)))):
        if found < limit:
            (estimate, *_) = reader.exit_estimates([0.0] * 3 + [0.0, found], query)
            assert estimate < below


def test_an_output_without_a_part_needs_the_whole_encoder() -> None:
    assert not scorer("leaving")[0].reader.stops_below(ask("", ("attack", "other")))
    assert not scorer("merging")[0].reader.stops_below(ask("", ("attack",)))
    config = deepcopy(leaving_config())
    del config["spans"]["exit"]["outputs"]["harm"]
    judging, _ = span_scorer(span_model(Path(mkdtemp()) / "part", config))
    assert not judging.reader.stops_below(ask("", ("harm",)))
    assert judging.reader.exit_estimates([0.0] * 5, ask(""))[1] == 1.0
    assert judging.reader.stops_below(ask("", ("attack",)))


def test_rows_that_stop_elsewhere_are_not_the_same() -> None:
    row = StoppableRow((1, 2), (0.5,))
    assert row == StoppableRow((1, 2), (0.5,))
    assert {row, StoppableRow((1, 2), (0.5,)), StoppableRow((1, 2), (0.25,)), (1, 2), StoppableRow((1,), (0.5,))} == {
        row, StoppableRow((1, 2), (0.25,)), (1, 2), StoppableRow((1,), (0.5,)),
    }  # fmt: skip
    assert row != (1, 2)
    assert row != (1, 2)
    assert [*row] == [1, 2]


def test_some_spans_are_cleared_and_some_are_not() -> None:
    """Otherwise the tests here would show little."""
    text = " ".join(f"word {number}" for number in range(1500))
    (pieces,) = scorer()[0].judge([ask(text, ("attack",))])
    assert 0.1 < sum(piece.cleared for piece in pieces) / len(pieces) < 0.9
    (pieces,) = scorer()[0].judge([ask(text, ("attack",), first_stage=False)])
    assert not any(piece.cleared for piece in pieces)


@settings(max_examples=40, deadline=None)
@given(st.lists(queries, max_size=6), st.randoms(use_true_random=False), ways, st.booleans())
def test_company_and_memory_change_nothing(given_queries: list[Query], order: Any, way: Way, can_stop: bool) -> None:
    """Nor does a network that never stops at its exit."""
    alone = [scorer(way)[0].judge([query])[0] for query in given_queries]
    remembering, _ = span_scorer(model_of(way), remembered=20, can_stop=can_stop)
    shuffled = order.sample(range(len(given_queries)), len(given_queries))
    assert remembering.judge([given_queries[at] for at in shuffled]) == [alone[at] for at in shuffled]
    assert [remembering.judge([query])[0] for query in given_queries] == alone
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda query: remembering.judge([query])[0], given_queries)) == alone


@settings(max_examples=60, deadline=None)
@given(texts, st.data(), st.sampled_from(["request", "response"]), st.booleans(), ways)
def test_findings_do_not_depend_on_the_cuts(
    text: str, data: st.DataObject, direction: Any, first_stage: bool, way: Way
) -> None:
    options = {"labels": ["attack", "harm"], "threshold": 0.6, "window_chars": 260, "first_stage": first_stage}
    check = build("attack", options, Resources(lambda name: scorer(way)[0]))
    assert isinstance(check, Supervisor)
    check = replace(check, cut={**check.cut, "request": Segments(260, 65, early=False)})
    assert bool(check.first_stage) == first_stage
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=20))
    assert scan_in_chunks(check, text, cuts, direction) == scan_in_chunks(check, text, [], direction)


def test_a_cleared_span_is_never_a_finding() -> None:
    """A policy may only ask for thresholds from `least` on, and an estimate below `below` is lower."""
    text = " ".join(f"word {number}" for number in range(1500))
    (pieces,) = scorer()[0].judge([ask(text)])
    cleared = [piece for piece in pieces if piece.cleared]
    assert cleared
    assert all(
        piece.scores[output] < CONFIG["first_stage"][output]["least"] for piece in cleared for output in piece.scores
    )
