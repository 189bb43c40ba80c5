"""Loads the tokenizer of a model folder.

In: the folder. Out: the tokenizer, cutting and padding nothing, and the numbers of the special tokens asked for.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from guardproxy.errors import ConfigError


def load(folder: Path, *special: str) -> tuple[Tokenizer, list[int]]:
    """The tokenizer and the numbers of `special`. Raises `ConfigError` when the file is no tokenizer or lacks one of these
    tokens."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare `Exception`
        raise ConfigError(f"{path} is no tokenizer") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    numbers = [tokenizer.token_to_id(token) for token in special]
    if None in numbers:
        lacking = [token for token, found in zip(special, numbers, strict=True) if found is None]
        raise ConfigError(f"{path} lacks {', '.join(lacking)}")
    return tokenizer, [found for found in numbers if found is not None]
