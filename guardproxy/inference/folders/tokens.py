"""Loads the tokenizer of a model folder.

In: the folder. Out: the tokenizer, with truncation and padding switched off, and the numbers of the requested special
tokens. Only the caller sets special tokens: a text that spells one, such as `[CLS]`, is read as any other text. The author
of a text must not write the tokens that tell the network where a row begins and ends.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from guardproxy.errors import ConfigError


def load(folder: Path, *special: str) -> tuple[Tokenizer, list[int]]:
    """Returns the tokenizer and the numbers of `special`. Raises `ConfigError` when the file is not a tokenizer or
    lacks a token of `special`."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare `Exception`
        raise ConfigError(f"{path} is not a tokenizer") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    numbers = [tokenizer.token_to_id(token) for token in special]
    if None in numbers:
        lacking = [token for token, number in zip(special, numbers, strict=True) if number is None]
        raise ConfigError(f"{path} lacks {', '.join(lacking)}")
    return tokenizer, [number for number in numbers if number is not None]
