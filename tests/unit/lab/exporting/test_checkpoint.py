"""Checkpoints of transformers, tiny ones made on the spot: what is read from them, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError
from guardproxy.lab.exporting.checkpoint import Checkpoint, _spare_embeddings, load, naming
from tests.kit.checkpoints import FAMILIES, checkpoint

PAIR = ["SAFE", "INJECTION"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ([], {})),
        ("safe, injection", (["safe", "injection"], {})),
        ("MISC=NRP,LOC=", ([], {"MISC": "NRP", "LOC": ""})),
    ],
)
def test_labels_are_named_or_renamed(text: str, wanted: tuple[list[str], dict[str, str]]) -> None:
    assert naming(text) == wanted


def test_labels_are_not_both_named_and_renamed() -> None:
    with pytest.raises(ConfigError, match="not both"):
        naming("safe,MISC=NRP")


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'guardproxy\[train\]'"):
        load(tmp_path, None, [], {})


class Sizes:
    """What is asked of a network and of a tokenizer: the number of embeddings, and the ids of tokens."""

    def __init__(self, rows: int, ids: list[int]) -> None:
        self.num_embeddings = rows
        self._ids = ids

    def get_input_embeddings(self) -> Sizes:
        return self

    def get_vocab(self) -> dict[str, int]:
        return {f"token{number}": number for number in self._ids}


@pytest.mark.parametrize(
    ("rows", "ids", "spare"), [(10, list(range(10)), 0), (64, list(range(10)), 54), (10, [0, 9], 0), (3, [], 3)]
)
def test_embeddings_without_a_token_are_counted(rows: int, ids: list[int], spare: int) -> None:
    assert _spare_embeddings(Path("here"), Sizes(rows, ids), Sizes(rows, ids)) == spare


@pytest.mark.parametrize("ids", [list(range(11)), [0, 10], [10]])
def test_a_token_without_an_embedding_is_said(ids: list[int]) -> None:
    """The ids count, not how many there are: some tokenizers leave ids out."""
    with pytest.raises(
        ConfigError, match="tokenizer and the embeddings differ: there are ids up to 10, and embeddings up to 9"
    ):
        _spare_embeddings(Path("here"), Sizes(10, ids), Sizes(10, ids))


@pytest.mark.parametrize(("spare", "is_remarked"), [(0, False), (99, False), (1000, True)])
def test_many_embeddings_without_a_token_are_a_doubt(spare: int, is_remarked: bool) -> None:
    about = ("scores", None, None, ("a",), "softmax", ("", "", ""), 64, "Bert")
    remark = Checkpoint(*about, spare_embeddings=spare).remark  # type: ignore[arg-type]
    assert ("1,000 embeddings have no token" in remark) == is_remarked


@pytest.mark.export
def test_the_tokenizer_of_another_checkpoint_is_said(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", "bert", PAIR)
    words = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary = words["model"]["vocab"]
    vocabulary["anotherword"] = max(vocabulary.values()) + 1000
    (folder / "tokenizer.json").write_text(json.dumps(words), "utf-8")
    with pytest.raises(ConfigError, match="the tokenizer and the embeddings differ"):
        load(folder, None, [], {})


@pytest.mark.export
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_says_what_it_needs(tmp_path: Path, family: str) -> None:
    found = load(checkpoint(tmp_path / family, family, PAIR), None, [], {})
    special = ("<s>", "</s>", "<pad>") if family == "roberta" else ("[CLS]", "[SEP]", "[PAD]")
    assert (found.kind, found.outputs, found.activation) == ("scores", tuple(PAIR), "softmax")
    assert (found.special, found.max_tokens) == (special, 64)


@pytest.mark.export
def test_outputs_are_named_and_several_or_one_are_sigmoids(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", "bert", ["LABEL_0", "LABEL_1"])
    assert load(folder, None, ["safe", "injection"], {}).outputs == ("safe", "injection")
    for names in (["safe"], ["x", "x"], ["x", ""]):
        with pytest.raises(ConfigError, match="LABEL_0, LABEL_1"):
            load(folder, None, names, {})
    with pytest.raises(ConfigError, match="for a classifier list its outputs in order"):
        load(folder, None, [], {"LABEL_0": "safe"})
    many = checkpoint(tmp_path / "b", "bert", ["hate", "threat"], problem_type="multi_label_classification")
    assert load(many, None, [], {}).activation == "sigmoid"
    assert load(checkpoint(tmp_path / "c", "bert", ["toxic"]), None, [], {}).activation == "sigmoid"


@pytest.mark.export
def test_tags_have_presidios_names_and_the_rest_is_no_name(tmp_path: Path) -> None:
    import torch

    labels = ["O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-GPE", "I-GPE", "B-LOC", "I-LOC"]
    found = load(checkpoint(tmp_path / "a", "bert", labels, tags=True), None, [], {})
    assert (found.kind, found.outputs) == ("tags", ("PERSON", "LOCATION"))
    ids = torch.tensor([[1, 9, 11, 2]])
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        wanted = found.network.model(input_ids=ids, attention_mask=mask).logits.softmax(-1)
        got = found.network(ids, mask).softmax(-1)
    parts = [[0, 1, 2], [3], [4], [5, 7], [6, 8]]
    assert torch.allclose(got, torch.stack([wanted[..., part].sum(-1) for part in parts], -1), atol=1e-6)
    renamed = load(tmp_path / "a", None, [], {"MISC": "NRP", "PER": ""})
    assert renamed.outputs == ("NRP", "LOCATION")
    with pytest.raises(ConfigError, match="the checkpoint has no `PERS`; it has: GPE, LOC, MISC, PER"):
        load(tmp_path / "a", None, [], {"PERS": "PERSON"})
    with pytest.raises(ConfigError, match="the tags must include O"):
        load(tmp_path / "a", None, [], {"GPE": "", "LOC": "", "PER": ""})


@pytest.mark.export
def test_tags_without_a_beginning_never_begin(tmp_path: Path) -> None:
    import torch

    found = load(checkpoint(tmp_path / "a", "distilbert", ["O", "I-PER", "LOC", "S-ORG"], tags=True), None, [], {})
    assert found.outputs == ("PERSON", "LOCATION", "ORGANIZATION")
    ids = torch.tensor([[1, 9, 2]])
    with torch.inference_mode():
        shares = found.network(ids, torch.ones_like(ids)).softmax(-1)
    assert shares[..., [1, 3, 6]].max() == 0  # B-PERSON, B-LOCATION, I-ORGANIZATION
    assert shares[..., [2, 4, 5]].min() > 0


@pytest.mark.export
def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a checkpoint: it has no config\.json"):
        load(tmp_path, None, [], {})
    folder = checkpoint(tmp_path / "a", "bert", PAIR)
    with pytest.raises(ConfigError, match=r"lacks the weights classifier\."):
        load(_without_head(folder, tmp_path / "headless"), "scores", [], {})
    with pytest.raises(ConfigError, match="`BertModel`, which does not classify texts"):
        load(tmp_path / "headless", None, [], {})
    with pytest.raises(ConfigError, match="`BertForSequenceClassification`, which does not classify tokens"):
        load(folder, "tags", [], {})
    config = folder / "config.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps(whole | {"model_type": "no-such"}))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(folder, None, [], {})
    config.write_text(json.dumps(whole))
    tokens = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokens | {"post_processor": None}))
    with pytest.raises(ConfigError, match="a row must be one special token, the text, and one special token"):
        load(folder, None, [], {})
    short = checkpoint(tmp_path / "b", "bert", PAIR, max_position_embeddings=8)
    with pytest.raises(ConfigError, match="takes 8 tokens at most; 16 are needed"):
        load(short, None, [], {})


def _without_head(folder: Path, bare: Path) -> Path:
    import transformers

    transformers.AutoModel.from_pretrained(folder).save_pretrained(bare)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(bare)
    return bare
