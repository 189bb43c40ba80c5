"""What a process imports and builds before it forks (see processes.py): all that starts no thread and opens no file."""

from __future__ import annotations

import gc

import onnxruntime
import tokenizers
import uvloop

from guardproxy import cli, server
from tests.kit.play import policy_set

LOADED = (onnxruntime, tokenizers, uvloop, cli, server)

# Building a check imports what it needs: Presidio and its patterns take the longest.
policy_set("""\
policy: warm
checks:
  pii: {use: pii}
  secrets: {use: secrets}
  word: {use: pattern, words: [falcon], patterns: ['fal(con)?']}
  shape: {use: json_schema, schema: from_request}
rules:
  - {id: watch, when: pii or secrets or word, action: flag}
  - {id: right-shape, on: response, when: shape, action: flag}
""")
gc.freeze()  # the children share this memory
