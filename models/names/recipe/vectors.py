"""First rows for the words of the tagger `fast`: the word vectors of the MiniLM encoder, made narrower.

In: forms of words. Out: for each a row of `width` numbers: the mean of the vectors of its pieces, along the directions in which
the vectors of all forms differ most. So words that are used alike begin alike, which a small set of rows could not teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoModel

from models.encoder import encoder_folder

SPREAD = 0.1
"""The standard deviation of the numbers."""


def vectors(forms: Sequence[str], width: int) -> Any:
    folder = encoder_folder()
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    table = AutoModel.from_pretrained(folder).embeddings.word_embeddings.weight.detach().double().numpy()
    clean = [form.encode("utf-8", "replace").decode() for form in forms]
    rows = [
        table[encoding.ids].mean(0) if encoding.ids else table.mean(0)
        for encoding in tokenizer.encode_batch(clean, add_special_tokens=False)
    ]
    centred = np.array(rows) - np.mean(rows, 0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :width]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(0), np.arange(width)])
    narrow = centred @ chosen
    narrow /= narrow.std(0) ** 0.5  # the first directions weigh more, but not as much as they did
    return (narrow * (SPREAD / narrow.std())).astype(np.float32)
