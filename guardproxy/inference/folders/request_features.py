"""Reads the folder of the model `difficulty`.

In: a folder with `words.json`, `config.json` (format 1, kind `difficulty`) and `SHA256SUMS`. Out: `RequestFeatures`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from guardproxy.conditions import FEATURES, RequestFeatures
from guardproxy.errors import ConfigError
from guardproxy.inference.folders import folder as folders
from guardproxy.inference.folders.folder import is_number

FORMAT = 1
FILES = ("config.json", "words.json")
_LIMIT = 1000
"""The largest weight."""


def read_features(folder: Path) -> RequestFeatures:
    """Reads a folder. Raises `ConfigError` when it is incomplete, does not match its SHA256SUMS, or holds another form."""
    folders.verify(folder, FILES)
    weights: Any = folders.configuration(folder, "difficulty", FORMAT).get("weights")
    try:
        table = json.loads((folder / "words.json").read_text("utf-8"))
        words, rows = table["words"].split(" "), base64.b85decode(table["rows"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{folder / 'words.json'} is not a table of words; {folders.again(folder)}") from error
    is_weighed = (
        isinstance(weights, list)
        and len(weights) == FEATURES + 1
        and all(is_number(weight, -_LIMIT, _LIMIT) for weight in weights)
    )
    if len(rows) != len(words) * FEATURES or not is_weighed:
        raise ConfigError(f"{folder}: the rows of words and the weights do not fit each other; {folders.again(folder)}")
    return RequestFeatures(words, rows, list(map(float, weights)))
