"""What the encoder makes of texts: the mean of its last layer over the tokens, of unit length, as its authors use it.

In: texts. Out: one row of 384 numbers for each. Run: `python -m models.embedding.recipe.teacher --out build/embedding`: the
texts of `texts.py`, and each token of the vocabulary alone.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModel

from models.embedding.recipe.texts import texts
from models.encoder import encoder_folder, write_tokenizer

MOST_TOKENS = 128
TOKENS_AT_ONCE = 4096


class Encoder:
    """all-MiniLM-L6-v2 with its own pooling, read by the tokenizer that the models of this project share."""

    def __init__(self, out: Path) -> None:
        write_tokenizer(out / "tokenizer.json")
        self.tokenizer: Any = Tokenizer.from_file(str(out / "tokenizer.json"))
        self.network = AutoModel.from_pretrained(encoder_folder()).eval().bfloat16()

    def texts(self, rows: Sequence[str]) -> Any:
        """One vector for each text."""
        return self.ids([encoding.ids[:MOST_TOKENS] for encoding in self.tokenizer.encode_batch(list(rows))])

    def ids(self, rows: Sequence[Sequence[int]]) -> Any:
        """One vector for each row of token numbers, in batches of rows of similar length."""
        found = np.zeros((len(rows), self.network.config.hidden_size), np.float32)
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        while order:
            width = len(rows[order[-1]])
            batch = order[-max(1, TOKENS_AT_ONCE // width) :]
            del order[-len(batch) :]
            ids = torch.zeros(len(batch), width, dtype=torch.long)
            mask = torch.zeros(len(batch), width, dtype=torch.long)
            for place, at in enumerate(batch):
                ids[place, : len(rows[at])] = torch.tensor(rows[at])
                mask[place, : len(rows[at])] = 1
            with torch.inference_mode():
                last = self.network(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            weights = mask[..., None].float()
            pooled = torch.nn.functional.normalize((last * weights).sum(1) / weights.sum(1))
            found[batch] = pooled.numpy()
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/embedding"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    asked.out.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(asked.out)
    first, last = (encoder.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    count = encoder.tokenizer.get_vocab_size()
    np.save(asked.out / "tokens.npy", encoder.ids([[first, token, last] for token in range(count)]))
    rows = texts(Path(os.environ["GUARDPROXY_DATA"]))
    (asked.out / "texts.json").write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    np.save(asked.out / "texts.npy", encoder.texts(rows).astype(np.float16))


if __name__ == "__main__":
    main()
