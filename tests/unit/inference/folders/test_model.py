"""Model folders: what is accepted, what is refused and why."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from guardproxy.errors import ConfigError
from guardproxy.inference.folders.clearing import Clearing
from guardproxy.inference.folders.model import Calibration, ModelDescription, Special
from guardproxy.inference.models import load, read

GOOD: dict[str, Any] = {
    "format": 2,
    "kind": "scores",
    "version": "7",
    "outputs": ["jailbreak", "embedded", "harm"],
    "activation": "softmax",
    "labels": {"injection": {"any": ["jailbreak", "embedded"], "tool_result": ["embedded"]}},
    "max_tokens": 128,
    "overlap_tokens": 32,
    "special": {"first": "<s>", "last": "</s>", "pad": "<pad>"},
    "channels": {"user": 1, "tool_result": 2, "reasoning": 2},
    "calibration": {"jailbreak": {"bias": 2, "temperature": 1.5}, "harm": {"bias": -1.0}},
    "operating_points": {
        "jailbreak": {"1%": 0.8, "0.1%": 0.9},
        "embedded": {"1%": 0.7},
        "harm": {"1%": 1},
    },
    "default_point": "1%",
}
POINTS = GOOD["operating_points"]
CLEARING = {"column": 1, "below": 0.2, "least": 0.9}


def write(folder: Path, config: Any) -> Path:
    """A folder with matching sums; network and tokenizer are not real."""
    text = config if isinstance(config, str) else json.dumps(config)
    files = {"model.onnx": b"network", "tokenizer.json": b"{}", "config.json": text.encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def test_a_good_folder_is_read(tmp_path: Path) -> None:
    model = read(write(tmp_path, GOOD))
    assert model.outputs == ("jailbreak", "embedded", "harm")
    assert model.labels == {
        "jailbreak": {"any": ("jailbreak",)},
        "embedded": {"any": ("embedded",)},
        "harm": {"any": ("harm",)},
        "injection": {"any": ("jailbreak", "embedded"), "tool_result": ("embedded",), "document": ("embedded",)},
    }
    assert model.calibration["jailbreak"] == Calibration(2.0, 1.5)
    assert model.calibration["embedded"] == Calibration(0.0, 1.0)
    assert model.calibration["harm"] == Calibration(-1.0, 1.0)
    assert model.points == POINTS
    assert model.special == Special("<s>", "</s>", "<pad>")
    assert model.channels == {"user": 1, "tool_result": 2, "document": 2, "reasoning": 2}
    assert (model.activation, model.default_point) == ("softmax", "1%")
    assert (model.version, model.max_tokens, model.overlap_tokens) == ("7", 128, 32)
    assert model.files == frozenset()


def test_what_may_be_left_out_has_its_usual_value(tmp_path: Path) -> None:
    keys = ("kind", "activation", "labels", "overlap_tokens", "special", "channels", "calibration", "version")
    model = read(write(tmp_path, {key: value for key, value in GOOD.items() if key not in keys} | {"max_tokens": 256}))
    assert set(model.labels) == set(model.outputs)
    assert model.special == Special("[CLS]", "[SEP]", "[PAD]")
    assert set(model.calibration.values()) == {Calibration()}
    assert (model.activation, model.overlap_tokens, model.channels) == ("sigmoid", 64, {})
    assert model.length_correction == 0.0


def test_the_length_correction_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path, GOOD | {"activation": "sigmoid", "length_correction": 0.5})
    assert read(folder).length_correction == 0.5
    assert read(folder).length_pieces == 0
    folder = write(tmp_path, GOOD | {"activation": "sigmoid", "length_correction": 0.5, "length_pieces": 6})
    assert read(folder).length_pieces == 6


def test_an_output_that_was_never_calibrated_has_no_operating_points(tmp_path: Path) -> None:
    model = read(write(tmp_path, GOOD | {"operating_points": {"harm": {"1%": 0.5}}}))
    assert model.points == {output: {} for output in model.outputs} | {"harm": {"1%": 0.5}}
    none = {key: value for key, value in GOOD.items() if key not in ("operating_points", "default_point")}
    model = read(write(tmp_path, none))
    assert (model.default_point, set(model.points)) == ("", set(model.outputs))
    assert not any(model.points.values())


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    first = read(write(tmp_path, GOOD)).digest
    assert first.startswith("sha256:")
    assert read(write(tmp_path, GOOD)).digest == first
    assert read(write(tmp_path, GOOD | {"version": "8"})).digest != first


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_changed_file_is_refused_with_both_digests(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    expected = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with (tmp_path / name).open("ab") as file:
        file.write(b" ")
    found = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with pytest.raises(ConfigError, match=f"{name} does not match SHA256SUMS") as caught:
        load(tmp_path)
    assert f"found sha256 {found}, expected {expected}; copy or install the model again" in str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json", "SHA256SUMS"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=f"{name} cannot be read.*; copy or install the model again"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "config"), [("model.fp16.onnx", GOOD), ("first_stage.onnx", GOOD | {"first_stage": {"harm": CLEARING}})]
)
def test_a_file_that_nobody_listed_is_refused(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    write(tmp_path, config)
    (tmp_path / name).write_bytes(b"more")
    with pytest.raises(ConfigError, match=f"does not name `{name}`"):
        read(tmp_path)
    (tmp_path / "plain").mkdir()
    digest = read(write(tmp_path / "plain", GOOD)).digest
    with (tmp_path / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'more').hexdigest()}  {name}\n")
    model = read(tmp_path)
    assert model.files == {name}
    assert model.digest != digest


def test_a_first_stage_needs_its_limits(tmp_path: Path) -> None:
    limits = GOOD | {"first_stage": {"harm": CLEARING}}
    with pytest.raises(ConfigError, match="`first_stage` is missing"):
        read(with_file(write(tmp_path, GOOD)))
    model = read(with_file(write(tmp_path, limits)))
    assert model.clearing == {"harm": Clearing(1, 0.2, 0.9)}
    assert ModelDescription(model).clears_from("user") == {"harm": 0.9}


def test_a_kind_of_channel_has_its_points_and_clears_from_its_default_point(tmp_path: Path) -> None:
    own = {"tool_result": {"harm": {"1%": 0.6, "0.1%": 0.7}}, "user": {"jailbreak": {"0.1%": 0.95}}}
    config = GOOD | {"channel_points": own, "first_stage": {"harm": CLEARING, "jailbreak": CLEARING}}
    model = ModelDescription(read(with_file(write(tmp_path, config))))
    assert model.points == POINTS
    assert model.points_in("system") == POINTS
    assert model.points_in("tool_result") == model.points_in("document") == POINTS | own["tool_result"]
    assert model.points_in("user") == POINTS | {"jailbreak": {"1%": 0.8, "0.1%": 0.95}}
    assert model.clears_from("document") == {"harm": 0.6, "jailbreak": 0.9}
    assert model.clears_from("user") == {"harm": 0.9, "jailbreak": 0.9}


def test_limits_without_a_first_stage_clear_nothing(tmp_path: Path) -> None:
    assert read(write(tmp_path, GOOD | {"first_stage": {"harm": CLEARING}})).clearing == {}
    with pytest.raises(ConfigError, match="must map outputs"):
        read(write(tmp_path, GOOD | {"first_stage": {"other": CLEARING}}))


def with_file(folder: Path) -> Path:
    (folder / "first_stage.onnx").write_bytes(b"more")
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'more').hexdigest()}  first_stage.onnx\n")
    return folder


def test_a_folder_with_the_first_stage_of_an_older_release_is_read_without_it(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "first_stage.npz").write_bytes(b"linear")
    assert read(tmp_path).clearing == {}


def test_sums_that_leave_a_file_out_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines(keepends=True)
    (tmp_path / "SHA256SUMS").write_text("".join(lines[1:]))
    with pytest.raises(ConfigError, match=r"does not name `model\.onnx`"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "`format` must be 2 for a model that gives `scores`"),
        ({"kind": "tags"}, "holds a model that gives `tags`, but a model that gives `scores` is needed"),
        ({"outputs": []}, "`outputs` must be a list"),
        ({"outputs": "injection"}, "`outputs` must be a list"),
        ({"outputs": [1]}, "`outputs` must be a list"),
        ({"outputs": ["harm", "harm"]}, "each once"),
        ({"activation": "relu"}, "`activation` must be one of sigmoid, softmax"),
        ({"labels": []}, "`labels` must map the name of a group"),
        ({"labels": {"harm": {"any": ["harm"]}}}, "`harm` is an output, which is a label already"),
        ({"labels": {"injection": {}}}, '`injection` must be like {"any": ["jailbreak"]}'),
        ({"labels": {"injection": ["harm"]}}, "`injection` must be like"),
        ({"labels": {"injection": {"tool": ["harm"]}}}, "`tool` is not a kind of channel; known: any, system, user"),
        (
            {"labels": {"injection": {"any": ["hate"]}}},
            "`injection` must list outputs for `any`; known: jailbreak, emb",
        ),
        ({"labels": {"injection": {"any": []}}}, "`injection` must list outputs"),
        ({"max_tokens": 1000}, "`max_tokens` must be"),
        ({"max_tokens": True}, "`max_tokens` must be"),
        ({"max_tokens": "256"}, "`max_tokens` must be"),
        ({"overlap_tokens": 64}, "`overlap_tokens` must be a whole number from 0 to 63"),
        ({"overlap_tokens": 1.5}, "`overlap_tokens` must be"),
        ({"overlap_tokens": True}, "`overlap_tokens` must be"),
        ({"channel_points": []}, "`channel_points` must map kinds of channel to points; known: system, user"),
        ({"channel_points": {"answer": {}}}, "`channel_points` must map kinds of channel"),
        ({"channel_points": {"user": {"hate": {}}}}, "`channel_points` of `user` must map outputs"),
        (
            {"channel_points": {"user": {"harm": {"1%": 2}}}},
            "`channel_points` of `user`: each of `harm` must be a score",
        ),
        ({"activation": "sigmoid", "length_correction": -0.1}, "`length_correction` must be a number from 0 to 10"),
        ({"activation": "sigmoid", "length_correction": "1"}, "`length_correction` must be"),
        ({"length_correction": 0.5}, "`length_correction` needs `sigmoid`"),
        ({"length_pieces": 2.5}, "`length_pieces` must be a whole number"),
        ({"length_pieces": True}, "`length_pieces` must be a whole number"),
        ({"special": {"begin": "x"}}, "`special` must name the tokens"),
        ({"special": {"first": 1}}, "`special` must name the tokens"),
        ({"special": ["x"]}, "`special` must name the tokens"),
        ({"channels": [1]}, "`channels` must map kinds of channel to the numbers of tokens"),
        ({"channels": {"answer": 1}}, "`channels`: `answer` is not a kind of channel; known: system, user, assistant"),
        ({"channels": {"user": "[unused0]"}}, "`channels`: `user` must have the number of a token"),
        ({"channels": {"user": True}}, "`channels`: `user` must have the number of a token"),
        ({"channels": {"user": -1}}, "`channels`: `user` must have the number of a token"),
        ({"channels": {"user": 2**31}}, "`channels`: `user` must have the number of a token"),
        ({"channels": {"user": 1.0}}, "`channels`: `user` must have the number of a token"),
        ({"calibration": 1}, "`calibration` must map outputs"),
        ({"calibration": {"hate": {}}}, "`calibration` must map outputs"),
        ({"calibration": {"harm": 1}}, "`harm` must have a `bias`"),
        ({"calibration": {"harm": {"scale": 1}}}, "`harm` must have a `bias`"),
        ({"calibration": {"harm": {"bias": 1000}}}, "`harm` must have a `bias`"),
        ({"calibration": {"harm": {"temperature": 0}}}, "the `temperature` of `harm` must be from 0.01 to 100"),
        ({"default_point": 1}, "`default_point` must be the name"),
        ({"default_point": "5%"}, "`jailbreak` lacks `5%`, the default point"),
        ({"default_point": ""}, "`default_point` must be the name"),
        ({"operating_points": {"hate": {"1%": 0.5}}}, "`operating_points` must map outputs to their operating points"),
        ({"operating_points": 1}, "`operating_points` must map"),
        ({"operating_points": POINTS | {"harm": 0.5}}, "each of `harm` must be a score from 0 to 1"),
        ({"operating_points": POINTS | {"harm": {"1%": 2}}}, "each of `harm` must be a score from 0 to 1"),
        ({"operating_points": POINTS | {"harm": {"1%": True}}}, "each of `harm` must be a score from 0 to 1"),
    ],
)
def test_a_wrong_config_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(write(tmp_path, GOOD | change))


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        read(write(tmp_path, text))


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a tokenizer"):
        load(write(tmp_path, GOOD))
