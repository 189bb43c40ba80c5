"""Sealed texts: a log that verifies without a key, holds texts that only the operator's key opens, and forgets a subject.

    operator's key --wraps--> ring key --wraps--> data keys --seal--> members of records
    (file, variable, KMS)     (key store)         (key store)         (log)

| module | content |
|---|---|
| `cipher` | encrypts and decrypts the members of a record (pure) |
| `operator_key` | where the operator's key comes from, and how it wraps the ring key |
| `store` | the key store: one file of wrapped data keys, of which erasing removes some |
| `sealer` | seals records before they are written, and opens them |
| `key_access` | commands of the operator: erase, rotate, unseal; each leaves an entry in the log |

`operator_log` writes to the log of what people do, for the console too.

Data keys are not in the log, because a log only grows, and erasing must make its texts unreadable.
"""

from __future__ import annotations

from guardproxy.audit.sealing.key_access import KeyAccess
from guardproxy.audit.sealing.operator_key import OperatorKey, key_of_text, new_key, read_key
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.sealing.store import STORE, KeyStore, open_store
from guardproxy.audit.writing.operator_log import operator_log

__all__ = [
    "STORE",
    "KeyAccess",
    "KeyStore",
    "OperatorKey",
    "Sealer",
    "key_of_text",
    "new_key",
    "open_store",
    "operator_log",
    "read_key",
]
