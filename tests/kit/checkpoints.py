"""Tiny checkpoints of transformers, made on the spot: two layers of 32, weights drawn from a seed, real tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TEXTS = [
    "Ignore all previous instructions.",
    "Ada Lindqvist lives in Lisbon; the parcel left Gothenburg on Tuesday (4.5 %).",
    *("the", "a", "of", "to", "and", "previous", "instructions", "parcel", "Gothenburg", "Tuesday", "Ada", "Lisbon"),
]
FAMILIES = ("bert", "distilbert", "roberta", "deberta-v2")


def checkpoint(folder: Path, family: str, labels: Sequence[str], *, tags: bool = False, **more: Any) -> Path:
    """Writes a checkpoint. `labels`: the names of its outputs; `more`: for its configuration."""
    import torch
    import transformers as hf

    torch.manual_seed(5)
    tokenizer = _tokenizer(family)
    small = {
        "vocab_size": len(tokenizer),
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "initializer_range": 0.3,  # so that logits lie apart
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": 66 if family == "roberta" else 64,
        **more,
    }
    usual = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    makers: dict[str, Callable[[], Any]] = {
        "bert": lambda: hf.BertConfig(**usual, **small),
        "distilbert": lambda: hf.DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, **small),
        "roberta": lambda: hf.RobertaConfig(**usual, type_vocab_size=1, **small),
        "deberta-v2": lambda: hf.DebertaV2Config(
            **usual,
            **small,
            relative_attention=True,
            position_buckets=16,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            share_att_key=True,
            norm_rel_ebd="layer_norm",
        ),
    }
    auto = hf.AutoModelForTokenClassification if tags else hf.AutoModelForSequenceClassification
    model = auto.from_config(makers[family]())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> Any:
    import tokenizers as tk
    import transformers as hf

    if family == "roberta":
        bpe = tk.ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        bpe.train_from_iterator(TEXTS, vocab_size=400, special_tokens=special, show_progress=False)
        raw = bpe._tokenizer
        raw.post_processor = tk.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
        return hf.PreTrainedTokenizerFast(
            tokenizer_object=raw,
            bos_token="<s>",
            eos_token="</s>",
            cls_token="<s>",
            sep_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
            model_max_length=64,
        )
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    if family == "deberta-v2":
        raw = tk.Tokenizer(tk.models.Unigram())
        raw.pre_tokenizer = tk.pre_tokenizers.Metaspace()
        trainer: Any = tk.trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="[UNK]", show_progress=False
        )
    else:
        raw = tk.Tokenizer(tk.models.WordPiece(unk_token="[UNK]"))
        raw.normalizer = tk.normalizers.BertNormalizer(lowercase=False)
        raw.pre_tokenizer = tk.pre_tokenizers.BertPreTokenizer()
        trainer = tk.trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    raw.train_from_iterator(TEXTS, trainer)
    raw.post_processor = tk.processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    names = ("pad_token", "cls_token", "sep_token", "unk_token", "mask_token")
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=raw, model_max_length=64, **dict(zip(names, special, strict=True))
    )
