"""Choose the rows of two short further passes: `second.jsonl`, the hard examples, and `third.jsonl`, long requests to write.

In: a checkpoint, `train.jsonl`, the data folder. Out: the harmless texts that look most like attacks to the network and the
attacks that look most harmless, among a sample of the rows that it knows. Held-out sources are not looked at.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.supervisor.recipe.data import (
    SEED,
    data_folder,
    held_out,
    overlap_filter,
    own,
    own_targets,
    read,
    take,
    write,
)
from models.supervisor.recipe.network import Supervisor
from models.supervisor.recipe.sources import (
    FINE,
    INJECTION,
    NO_ATTACK,
    OUTPUTS,
    Row,
    bipia,
    messages,
    neuralchemy,
    row,
    synthetic_documents,
)
from models.supervisor.recipe.train import Cropper, tensors
from models.supervisor.recipe.train import read as read_rows

POOL = (
    "benign/p3_prompts", "benign/gsm8k", "content/caia_safe_sensitive", "content/davidson_hate_offensive",
    "content/edos_train_dev", "content/vicomtech_stormfront", "content/toxic_spans", "pii/synth_pii", "pii/btc_train_dev",
    "pii/crossner", "pii/wnut17_train_dev", "pii/wikiann_de_fr_nl_silver",
)  # fmt: skip
"""Files of which no row is an attack; what else they say of a text is left open."""
OF_FILE = 1300
"""Most rows of one file that are looked at."""
HARD_FINE, HARD_ATTACKS, KNOWN, KNOWN_THIRD = 1800, 1300, 14000, 11000


@torch.no_grad()
def scores(network: Supervisor, rows: list[Row], threads: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Logits (rows, outputs) of one crop of each row; of an attack the crop holds it."""
    torch.set_num_threads(threads)
    network.eval()
    cropper = Cropper(rows, random.Random(SEED))
    found = np.zeros((len(rows), len(OUTPUTS)), np.float32)
    crops = [[cropper.start, *cropper.crop(at), cropper.end] for at in range(len(rows))]
    order = sorted(range(len(rows)), key=lambda at: len(crops[at]))
    for at in tqdm(range(0, len(order), 64), desc="scores", unit="batch"):
        part = order[at : at + 64]
        ids, mask, _ = tensors([(crops[one], [0.0] * len(OUTPUTS)) for one in part])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found[part] = network(ids, mask).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("build/supervisor"))
    parser.add_argument("--checkpoint", type=Path, default=Path("build/supervisor/checkpoint.pt"))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder, rng = data_folder(), random.Random(SEED)
    train = read_rows(args.data / "train.jsonl")
    overlaps = overlap_filter(held_out(folder)[1] + read_rows(args.data / "validation.jsonl"))
    known = {one["text"] for one in train}
    pool = [row(one["text"], NO_ATTACK, name) for name in POOL for one in take(read(folder, name), OF_FILE, rng)]
    for name, reader in (
        ("injection/synth_indirect", synthetic_documents),
        ("injection/synth_direct", messages),
        ("injection/neuralchemy", neuralchemy),
        ("injection/bipia_train_in_context", bipia),
    ):
        pool += [
            row(text, targets, name, span) for text, targets, span in take(reader(read(folder, name)), 2 * OF_FILE, rng)
        ]
    fresh = {one["text"]: one for one in pool if one["text"] not in known}
    pool = [one for one in tqdm(fresh.values(), desc="overlap", unit="row") if not overlaps(one["text"])]
    pool += take(
        [one for one in {one["text"]: one for one in train}.values() if one["source"].startswith("own/")], 4000, rng
    )

    network = Supervisor()
    network.load_state_dict(torch.load(args.checkpoint, map_location="cpu", weights_only=True)["weights"])
    worst = scores(network, pool, args.threads)[:, : len(INJECTION)]
    fine = [at for at, one in enumerate(pool) if not any(one["targets"].get(name) for name in INJECTION)]
    known_fine = set(fine)
    bad = [at for at in range(len(pool)) if at not in known_fine]
    hard_fine = sorted(fine, key=lambda at: -worst[at].max())[:HARD_FINE]
    hard_bad = sorted(bad, key=lambda at: worst[at].max())[:HARD_ATTACKS]
    print(f"hard harmless texts: highest logit {worst[hard_fine[0]].max():.2f}, last {worst[hard_fine[-1]].max():.2f}")
    print(f"hard attacks: lowest logit {worst[hard_bad[0]].max():.2f}, last {worst[hard_bad[-1]].max():.2f}")
    chosen = [pool[at] for at in (*hard_fine, *hard_bad)] + rng.sample(train, min(KNOWN, len(train)))
    chat = [row(one["text"], own_targets(one), "own/chat") for one in own("chat")[0]]
    chosen += [one for one in chat * 3 if not overlaps(one["text"])]
    rng.shuffle(chosen)
    write(args.data / "second.jsonl", chosen)
    write(args.data / "third.jsonl", third(folder, train, rng))


def third(folder: Path, train: list[Row], rng: random.Random) -> list[Row]:
    """Long requests to write something, which look like jailbreaks by their length alone, among known rows."""
    long = [
        row(one["text"], FINE, "benign/writingbench_queries") for one in read(folder, "benign/writingbench_queries")
    ]
    chosen = long * 3 + rng.sample(train, min(KNOWN_THIRD, len(train)))
    rng.shuffle(chosen)
    return chosen


if __name__ == "__main__":
    main()
