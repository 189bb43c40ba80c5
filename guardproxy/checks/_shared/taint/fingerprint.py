"""A fingerprint: what is kept of a passage, so that copies of it are recognized when it is gone.

In: a passage, and a secret number. Out: its fingerprint (`fingerprints.py`), which JSON can hold. Kept: which of its hashes
were met, for the record of the exchange that recalled it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import msgspec

from guardproxy.findings import Kind, Passage

HASH_BYTES = 5


class Fingerprint(msgspec.Struct, omit_defaults=True):
    """What is kept of a passage. `salt`: the secret number; `grams`, `words`: hashes in base64, `HASH_BYTES` each; `is_whole`:
    whether they are all of the passage. `met_grams`, `met_words`: those that a text had which was compared with it."""

    kind: Kind
    path: str
    salt: int
    grams: str
    words: str = ""
    is_whole: bool = True
    met_grams: set[int] = msgspec.field(default_factory=set)
    met_words: set[int] = msgspec.field(default_factory=set)

    def met(self) -> Fingerprint | None:
        """Returns the fingerprint with only the hashes that were met; `None` if none was."""
        if not self.met_grams and not self.met_words:
            return None
        return Fingerprint(
            self.kind,
            self.path,
            self.salt,
            written(sorted(self.met_grams)),
            written(sorted(self.met_words)),
            self.is_whole,
        )


def written(hashes: Iterable[int]) -> str:
    """Writes hashes for a fingerprint."""
    return base64.b64encode(b"".join(each.to_bytes(HASH_BYTES, "big") for each in hashes)).decode()


def is_name(key: str) -> bool:
    """Whether a key of an object is the name of a field, which says nothing of its value."""
    return len(key) <= 64 and key.isascii() and key.replace("_", "").replace("-", "").replace(".", "").isalpha()


def fingerprint_of(passage: Passage, salt: int) -> Fingerprint:
    """Returns the fingerprint of a passage. `salt`: a secret number below 2 ** 63."""
    from guardproxy.checks._shared.taint.fingerprints import hashes_in  # noqa: PLC0415 - loaded only where a policy asks

    grams, words, is_whole = hashes_in(passage.text, salt)
    return Fingerprint(passage.kind, passage.path, salt, written(grams), written(words), is_whole)
