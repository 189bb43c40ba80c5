"""Loads a checkpoint of transformers as a network with the inputs and outputs of a model folder.

In: a folder with `config.json`, weights and a fast tokenizer. Out: a `Checkpoint`. Nothing is downloaded, and no code
of the checkpoint runs. torch and transformers are imported when a checkpoint is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from guardproxy.errors import ConfigError

Kind = Literal["scores", "tags"]
MISSING = "an export needs torch and transformers: pip install 'guardproxy[train]'"
MOST_TOKENS, LEAST_TOKENS = 512, 16
"""Limits of a model folder."""
USUAL_SPARE = 128
NEVER = -1e4
"""The logit of a tag that the checkpoint lacks: small, and within the range of float16."""
PRESIDIO: Mapping[str, str] = {
    **dict.fromkeys(("PER", "PERSON", "B-PERSON"), "PERSON"),
    **dict.fromkeys(("LOC", "LOCATION", "GPE", "FAC"), "LOCATION"),
    **dict.fromkeys(("ORG", "ORGANIZATION", "ORGANISATION"), "ORGANIZATION"),
    **dict.fromkeys(("DATE", "TIME", "DATE_TIME"), "DATE_TIME"),
    **dict.fromkeys(("NORP", "NRP"), "NRP"),
}
"""Maps labels of checkpoints to Presidio's. A label that is not listed, such as MISC, is ignored unless the user
renames it."""
_BEGINS, _GOES_ON = "BSU", "IELM"  # prefixes of tags in the schemes BIO, BIOES and BILOU


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint.

    `network(input_ids, attention_mask)` returns logits. `outputs`: its columns, named as in the model folder: the
    outputs of a classifier, or the labels of a tagger (two columns each, after the column for no label). `special`:
    the first, last and padding token. `spare_embeddings`: those behind the last token of the tokenizer.
    """

    kind: Kind
    network: Any
    tokenizer: Any
    outputs: tuple[str, ...]
    activation: str
    special: tuple[str, str, str]
    max_tokens: int
    architecture: str
    spare_embeddings: int = 0

    @property
    def remark(self) -> str:
        """A doubt whether the tokenizer is that of the network; empty without one. Embeddings are often filled up to a multiple
        of 64 or 128, which is no reason for doubt."""
        if self.spare_embeddings < USUAL_SPARE:
            return ""
        return (
            f"the tokenizer and the embeddings differ: {self.spare_embeddings:,} embeddings have no token. Is the tokenizer "
            "that of this checkpoint?"
        )


def load(folder: Path, kind: Kind | None, new_names: Sequence[str], renamed: Mapping[str, str]) -> Checkpoint:
    """Loads a checkpoint. Raises `ConfigError`.

    `kind`: `None` takes the checkpoint's own kind. `new_names`: names of a classifier's outputs, in order; empty keeps its
    own. `renamed`: new names of a tagger's labels; an empty name leaves the label out.
    """
    try:
        import torch  # noqa: F401, PLC0415
        import transformers  # noqa: PLC0415
    except ImportError:
        raise ConfigError(MISSING) from None
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} is not a checkpoint: it has no config.json")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **here)
        kind = _kind(folder, config, kind)
        classes = transformers.AutoModelForSequenceClassification, transformers.AutoModelForTokenClassification
        model, info = classes[kind == "tags"].from_pretrained(
            folder, config=config, attn_implementation="eager", output_loading_info=True, **here
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **here)
    except ConfigError:
        raise
    except Exception as error:  # transformers and its libraries raise many kinds of errors
        raise ConfigError(f"{folder} cannot be loaded: {str(error).splitlines()[0]}") from error
    if info["missing_keys"]:
        raise ConfigError(f"{folder} lacks the weights {', '.join(sorted(info['missing_keys'])[:3])}")
    if not tokenizer.is_fast:
        raise ConfigError(f"{folder} needs a fast tokenizer (tokenizer.json)")
    spare = _spare_embeddings(folder, model, tokenizer)
    if (renamed and kind == "scores") or (new_names and kind == "tags"):
        raise ConfigError(
            "--labels: for a classifier list its outputs in order (safe,injection), "
            "for a tagger rename labels (MISC=NRP)"
        )
    own = [str(config.id2label[number]) for number in range(config.num_labels)]
    if kind == "scores":
        outputs = _outputs(new_names, own)
        columns: list[list[int]] | None = None
        many = config.problem_type == "multi_label_classification" or len(own) == 1
    else:
        outputs, columns = _tags(own, renamed)
        many = False
    return Checkpoint(
        kind=kind,
        network=_network(model, columns),
        tokenizer=tokenizer,
        outputs=outputs,
        activation="sigmoid" if many else "softmax",
        special=_special(folder, tokenizer),
        max_tokens=_room(folder, model, tokenizer),
        architecture=type(model).__name__,
        spare_embeddings=spare,
    )


def naming(text: str) -> tuple[list[str], dict[str, str]]:
    """Parses `--labels`: `safe,injection` names outputs in order, `MISC=NRP,LOC=` renames labels. Raises
    `ConfigError`."""
    parts = [part.strip() for part in text.split(",")] if text else []
    pairs = [part.split("=", 1) for part in parts if "=" in part]
    if pairs and len(pairs) != len(parts):
        raise ConfigError("--labels is a list of names (safe,injection) or of new names (MISC=NRP), not both")
    return ([], dict(pairs)) if pairs else (parts, {})


def _kind(folder: Path, config: Any, kind: Kind | None) -> Kind:
    name = (config.architectures or ["no architecture"])[0]
    own: Kind | None = None
    if name.endswith("ForSequenceClassification"):
        own = "scores"
    elif name.endswith("ForTokenClassification"):
        own = "tags"
    if own and kind in (None, own):
        return own
    if own or not kind:
        raise ConfigError(f"{folder} holds `{name}`, which does not classify {'texts' if kind != 'tags' else 'tokens'}")
    return kind


def _outputs(named: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    outputs = tuple(named or own)
    if len(outputs) != len(own):
        raise ConfigError(f"--labels must name all outputs in order; the checkpoint's: {', '.join(own)}")
    if len(set(outputs)) != len(outputs) or not all(outputs):
        raise ConfigError(f"the outputs need different names; give them with --labels: {', '.join(own)}")
    return outputs


def _tags(own: Sequence[str], renamed: Mapping[str, str]) -> tuple[tuple[str, ...], list[list[int]]]:
    """Returns the labels, and for the tag for no name and the two tags of each label the matching columns."""
    names = {**PRESIDIO, **renamed}
    known = {tag.partition("-")[2] or tag for tag in own}
    if unknown := [label for label in renamed if label not in known]:
        raise ConfigError(f"--labels: the checkpoint has no `{unknown[0]}`; it has: {', '.join(sorted(known - {'O'}))}")
    none: list[int] = []
    columns: dict[str, tuple[list[int], list[int]]] = {}
    for number, tag in enumerate(own):
        place, dash, entity = tag.partition("-")
        if not dash:
            place, entity = "I", tag
        label = names.get(entity, "")
        if not label or (dash and place not in _BEGINS + _GOES_ON):
            none.append(number)
        else:
            columns.setdefault(label, ([], []))[place in _GOES_ON].append(number)
    if not none or not columns:
        raise ConfigError(f"the tags must include O and a known label; the checkpoint's: {', '.join(own)}")
    return tuple(columns), [none, *(part for pair in columns.values() for part in pair)]


def _network(model: Any, columns: list[list[int]] | None) -> Any:
    """Returns the model with two inputs. The third input of some models, the number of the sentence, is always 0."""
    import torch  # noqa: PLC0415

    typed = getattr(model.config, "type_vocab_size", 0) > 0 and "token_type_ids" in model.forward.__code__.co_varnames

    class TwoInputs(torch.nn.Module):  # type: ignore[misc]  # torch may be absent
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            more = {"token_type_ids": torch.zeros_like(input_ids)} if typed else {}
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits.float()
            return logits if columns is None else torch.stack([_union_logit(logits, part) for part in columns], -1)

    def _union_logit(logits: Any, part: list[int]) -> Any:
        """Returns the logit of the union of the columns: their probabilities add up."""
        if not part:
            return torch.full_like(logits[..., 0], NEVER)
        return logits[..., part[0]] if len(part) == 1 else torch.logsumexp(logits[..., part], -1)

    return TwoInputs().eval()


def _spare_embeddings(folder: Path, model: Any, tokenizer: Any) -> int:
    """Returns how many embeddings of the network have no token. Raises `ConfigError` if a token has no embedding."""
    rows, tokens = model.get_input_embeddings().num_embeddings, 1 + max(tokenizer.get_vocab().values(), default=-1)
    if tokens > rows:
        raise ConfigError(
            f"{folder}: the tokenizer and the embeddings differ: there are ids up to {tokens - 1}, and embeddings up to "
            f"{rows - 1}. The tokenizer is that of another checkpoint, or tokens were added without embeddings for them"
        )
    return int(rows - tokens)


def _special(folder: Path, tokenizer: Any) -> tuple[str, str, str]:
    bare = tokenizer("a text", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a text")["input_ids"]
    if len(whole) != len(bare) + 2 or whole[1:-1] != bare:
        raise ConfigError(f"{folder}: a row must be one special token, the text, and one special token")
    if tokenizer.pad_token is None:
        raise ConfigError(f"{folder}: the tokenizer has no padding token")
    first, last = tokenizer.convert_ids_to_tokens([whole[0], whole[-1]])
    return first, last, tokenizer.pad_token


def _room(folder: Path, model: Any, tokenizer: Any) -> int:
    """Returns the most tokens of a row. RoBERTa's positions start after the index of its padding."""
    places = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings")
    ]
    room = min([MOST_TOKENS, tokenizer.model_max_length, model.config.max_position_embeddings, *places])
    if room < LEAST_TOKENS:
        raise ConfigError(f"{folder} takes {room} tokens at most; {LEAST_TOKENS} are needed")
    return int(room)
