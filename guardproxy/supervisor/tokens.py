"""The tokenizer of a model folder.

In: the folder. Out: the tokenizer, cutting and padding nothing, and the numbers of the tokens that begin and end a row.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from guardproxy.errors import ConfigError


def load(folder: Path) -> tuple[Tokenizer, int, int]:
    """Raises `ConfigError` when the file is no tokenizer, or one without such tokens."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare `Exception`
        raise ConfigError(f"{path} is no tokenizer") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    if first is None or last is None:
        raise ConfigError(f"{path} lacks [CLS] or [SEP]")
    return tokenizer, first, last
