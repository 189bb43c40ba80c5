"""The three groups of whole sources: to train on, to choose with, to report on. And what keeps them apart.

A choice source is written by people who wrote none of the training rows, and nothing is trained on it or on a twin of it: a
text that shares its words. Weights, points and constants are chosen on these sources. The report sources are looked at once a
release (`data.held_out`). Every other source of `second/sources.py` is trained on.

In: the data folder, own texts of `own/choice`. Out: choice rows `{"text", "label", "labels", "source", "channel", "kind",
"span", "group"}`. `label` says whether each of `labels` ("injection", "content") is to find the text; a label that is not
named is unknown. `kind`: what a harmless text is, or the manner of an attack. `span`: where the attack stands in a longer text.
`group`: texts of a source that share their attack, or are twins, have the same; they do not count as independent.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.supervisor.recipe import data
from models.supervisor.recipe.second.ordinary import APART, WHOLE, is_apart
from models.supervisor.recipe.second.sources import TRAINING, Reader, Source

SEED = 20_30
Row = dict[str, Any]
INJECTION, CONTENT = "injection", "content"
BOTH = (INJECTION, CONTENT)
OWN = Path(__file__).parent / "own" / "choice"
OWN_LABELS = {
    "override": (INJECTION,),
    "secret": (INJECTION,),
    "order": (INJECTION,),
    "language": (INJECTION,),
    "long": (INJECTION,),
    "stance": (CONTENT,),
}
"""How the name of a file of `own/choice` begins -> the labels of its attacks, for rows that name no `labels`."""


def _every(row: Row, place: int) -> bool:
    del row, place
    return True


@dataclass(frozen=True, slots=True)
class ChoiceSource:
    """A file to choose with. `bad`: what is to find its rows of label 1; `fine`: the kind of its rows of label 0.

    `most`: rows taken of each label. `is_taken`: of a file that serves two groups, the rows of this group, by row and place.
    """

    name: str
    channel: str
    bad: tuple[str, ...] = ()
    fine: str = ""
    most: int = 300
    is_taken: Callable[[Row, int], bool] = _every


STRANGERS: tuple[ChoiceSource, ...] = (
    ChoiceSource("injection/injecagent", "tool_result", (INJECTION,), "tool result with a note", 400),
    ChoiceSource("injection/agent_security_bench", "tool_result", (INJECTION,), "tool result of a service", 400),
    ChoiceSource("injection/wildjailbreak_eval", "user", BOTH, "fiction", 427),
    ChoiceSource("injection/jbb_artifacts", "user", BOTH, "", 340),
    ChoiceSource("injection/satml_ctf", "user", (INJECTION,), "", 400),
    ChoiceSource("injection/gandalf_safeguard_mixed", "user", (INJECTION,), "", 400),
    ChoiceSource("content/phtest", "user", (), "request that sounds harmful", 400),
    ChoiceSource("content/coconot", "user", (), "contrast of a harmful request", 400),
    ChoiceSource("content/counsel_chat", "user", (), "counsel", 300),
    ChoiceSource("content/safecity_reports", "user", (), "report of a victim", 200),
    ChoiceSource("content/ethos", "user", (CONTENT,), "post on a group", 346),
    ChoiceSource("benign/loghub_logs-nc", "tool_result", (), "log", 250),
    ChoiceSource("benign/repo_docs_code", "tool_result", (), "code and documents", 400),
)
"""Whole files that leave training. `counsel_chat` holds answers too: its rows of the kind `answer` are the assistant's."""


def _of_trust(row: Row, _: int) -> bool:
    return "extraction" in row["source"]


def _of_seed(row: Row, _: int) -> bool:
    return bool(row["source"] == "self-instruct seed")


def _apart(name: str) -> Callable[[Row, int], bool]:
    return lambda row, place: is_apart(name, row, place)


HELD: tuple[ChoiceSource, ...] = (
    ChoiceSource("injection/tensor_trust_attacks", "user", (INJECTION,), "", 400, _of_trust),
    ChoiceSource("injection/jailjudge_complex", "user", (INJECTION,), "", 200),
    ChoiceSource("injection/toxicchat_jailbreaks-nc", "user", (INJECTION,)),
    ChoiceSource("content/toxicchat_toxic-nc", "user", (CONTENT,)),
    ChoiceSource("benign/self_instruct_mtbench", "user", (), "instruction with its input", 150, _of_seed),
    *(
        ChoiceSource(name, channel, (), kind, min(most, 250))
        for kind, (name, most, channel) in WHOLE.items()
        if not any(stranger.name == name for stranger in STRANGERS)
    ),
    *(
        ChoiceSource(name, channel, (), kind, min(most, 250), _apart(name))
        for kind, (name, most, channel) in APART.items()
        if not any(stranger.name == name for stranger in STRANGERS)
    ),
)
"""Sources that were validated on before; of the files of `APART` the part that is kept out of training."""

CHOICE: tuple[ChoiceSource, ...] = STRANGERS + HELD

REPORT: tuple[str, ...] = (
    "injection/tensor_trust_attacks", "injection/pypi_corpora", "injection/seval_attack_en-nc",
    "injection/tensor_trust_system_prompts", "injection/mitre_frr_benign_cyber", "benign/self_instruct_mtbench",
    "benign/alpaca_instructions-nc", "content/surge_toxicity", "content/do_not_answer-nc", "content/seval_base_en-nc",
    "content/safety_tuned_llamas-nc",
)  # fmt: skip
"""Files to report on, which `data.held_out` reads; of two of them a part is in `HELD`."""

LONG_WORDS = 1000
LONG = {
    "long document": (
        "benign/repo_docs_code",
        "tool_result",
        ("injection/injecagent", "injection/agent_security_bench"),
    ),
    "long message": ("content/counsel_chat", "user", ("injection/gandalf_safeguard_mixed", "injection/satml_ctf")),
}
"""Kind of a long text -> the file whose texts are joined to it, its channel, the files whose attacks are put into it."""
LONG_TEXTS = 100

NOISE = ("injection/counterfactual_noise", "content/counterfactual_noise")
"""Disturbed copies, which no common words betray: their key `base` names the source of the text."""
BASES = ("PHTest", "CoCoNot", "prompt-armor", "CyberSecEval MITRE FRR")


def _undisturbed(reader: Reader) -> Reader:
    """The reader without the rows that disturb a text of a choice or report source."""
    return lambda rows: reader(row for row in rows if not any(base in row["base"] for base in BASES))


def training_sources() -> tuple[Source, ...]:
    """What is trained on: the sources of the second generation that are in no other group."""
    left_out = {source.name for source in STRANGERS}
    kept = [source for source in TRAINING if source.name not in left_out]
    return tuple(
        replace(source, reader=_undisturbed(source.reader)) if source.name in NOISE else source for source in kept
    )


def make_row(
    text: str,
    label: int,
    labels: Sequence[str],
    source: str,
    channel: str,
    kind: str,
    span: list[int] | None = None,
    group: str = "",
) -> Row:
    """Returns a choice row. A text without a `group` is one of its own."""
    return {
        "text": text, "label": label, "labels": list(labels), "source": source, "channel": channel, "kind": kind,
        "span": span, "group": group or text,
    }  # fmt: skip


def _channel(source: ChoiceSource, row: Row) -> str:
    is_answer = source.name == "content/counsel_chat" and row["kind"] == "answer"
    return "assistant" if is_answer else source.channel


def whole_rows(folder: Path, source: ChoiceSource) -> list[Row]:
    """All rows of a source, each once, in the order of the file."""
    found = {}
    for place, given in enumerate(data.read(folder, source.name)):
        label = given.get("label", 0)
        if source.is_taken(given, place) and (source.bad if label else source.fine):
            kind = given.get("category", "attack") if label else source.fine
            labels = source.bad if label else BOTH
            group = str(given.get("attack") or given.get("pair") or "")
            row = make_row(given["text"], label, labels, source.name, _channel(source, given), kind, group=group)
            found[row["text"]] = row
    return list(found.values())


def own_rows() -> Iterator[Row]:
    """Own texts that were written for choosing alone. Raises `ValueError` where no labels are known.

    The attacks of `own/choice/long.jsonl` are single paragraphs, to be put into its harmless texts (`long_rows`).
    """
    for path in sorted(OWN.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            given = json.loads(line)
            known = next((labels for begin, labels in OWN_LABELS.items() if path.stem.startswith(begin)), None)
            labels = given.get("labels", BOTH if not given["label"] else known)
            if labels is None:
                raise ValueError(f"{path.name}: name the `labels` of {given['text'][:40]!r}")
            channel, source = given.get("channel", "user"), f"own/choice/{path.stem}"
            yield make_row(given["text"], given["label"], labels, source, channel, given["kind"], given.get("span"))


def _joined(texts: list[str], rng: random.Random) -> str:
    """Texts in random order up to `LONG_WORDS` words."""
    found: list[str] = []
    words = 0
    for text in rng.sample(texts, len(texts)):
        found.append(text)
        words += len(text.split())
        if words >= LONG_WORDS:
            break
    return "\n\n".join(found)


def planted(text: str, attack: str, rng: random.Random) -> tuple[str, list[int]]:
    """A text with an attack as a paragraph of its own, at its begin, its end or a blank line, and where the attack stands."""
    breaks = [0, *(at + 2 for at in range(len(text)) if text.startswith("\n\n", at))]
    at = rng.choice([*breaks, len(text) + 2])
    head = text[:at] if at <= len(text) else f"{text}\n\n"
    return f"{head}{attack}\n\n{text[at:]}".rstrip("\n"), [len(head), len(head) + len(attack)]


def long_rows(folder: Path, rng: random.Random) -> Iterator[Row]:
    """Harmless texts of `LONG_WORDS` words or more, and the same with an attack in them."""
    by_name = {source.name: source for source in CHOICE}
    for kind, (name, channel, attacked) in LONG.items():
        texts = [row["text"] for row in whole_rows(folder, by_name[name])]
        attacks = [row["text"] for other in attacked for row in whole_rows(folder, by_name[other]) if row["label"]]
        for attack in rng.sample(attacks, LONG_TEXTS):
            text = _joined(texts, rng)
            yield make_row(text, 0, BOTH, f"choice/{kind}", channel, kind)
            whole, span = planted(text, attack, rng)
            yield make_row(whole, 1, (INJECTION,), f"choice/{kind}", channel, "attack in it", span)


def with_long_texts(rows: Iterable[Row], rng: random.Random) -> Iterator[Row]:
    """Own rows, where each attack of `long.jsonl` stands in a harmless text of its file and channel."""
    given = list(rows)
    for row in given:
        if row["label"] and row["source"] == "own/choice/long":
            place = (row["source"], row["channel"])
            around = [
                other["text"] for other in given if not other["label"] and (other["source"], other["channel"]) == place
            ]
            text, span = planted(rng.choice(around), row["text"], rng)
            yield row | {"text": text, "span": span}
        else:
            yield row


def choice_rows(folder: Path) -> list[Row]:
    """The rows to choose with: at most `most` of each source and label, long texts, own texts. The same in every run."""
    rng = random.Random(SEED)
    found: list[Row] = []
    for source in CHOICE:
        rows = whole_rows(folder, source)
        for label in (0, 1):
            found += data.take([row for row in rows if row["label"] == label], source.most, rng)
    return [*found, *long_rows(folder, rng), *with_long_texts(own_rows(), rng)]


def _hashes(text: str, size: int = 8) -> set[int]:
    return {hash(gram) for gram in data.grams(text, size)}


class Twins:
    """A test for a text that is nearly a text of `held`: equal words, or a fifth of its word 8-grams.

    Where the attack of a longer text is known, it is looked at by itself, too. The grams are kept as hashes, since there are
    millions of them.
    """

    def __init__(self, held: Iterable[str]) -> None:
        self._whole: set[str] = set()
        self._grams: set[int] = set()
        for text in held:
            self._whole.add(" ".join(data.words(text)))
            self._grams |= _hashes(text)

    def is_twin(self, row: Row) -> bool:
        """Whether a training row, or the attack at its `span`, resembles a held text."""
        texts = [row["text"]]
        if row.get("span"):
            texts.append(row["text"][slice(*row["span"])])
        return any(map(self._resembles, texts))

    def _resembles(self, text: str) -> bool:
        if " ".join(data.words(text)) in self._whole:
            return True
        own = _hashes(text)
        return bool(own) and len(own & self._grams) >= 0.2 * len(own)


def twins(folder: Path) -> Twins:
    """The twins of all choice texts, also of those that `choice_rows` does not take."""
    own = [row["text"] for row in own_rows()]
    return Twins([row["text"] for source in CHOICE for row in whole_rows(folder, source)] + own)


def without_twins(rows: Iterable[Row], folder: Path) -> list[Row]:
    """The rows that no choice text resembles."""
    found = twins(folder)
    return [row for row in rows if not found.is_twin(row)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/choice.jsonl"), help="file to write the choice rows to")
    args = parser.parse_args()
    rows = choice_rows(data.data_folder())
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    table = Counter((row["source"], row["label"], row["kind"] if not row["label"] else "") for row in rows)
    for (source, label, kind), count in sorted(table.items()):
        print(f"{source:40} {label} {count:6} {kind}")
    print(f"{len(rows)} rows in {args.out}")


if __name__ == "__main__":
    main()
