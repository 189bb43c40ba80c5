"""JSON Schema: schemas of people nobody trusts, and JSON texts that are judged while they are still being written.

`compiled.py` turns a schema into a `Compiled`, or says why it is refused; `prefix.py` judges a growing text by one. Both
ask the same `jsonschema` validators (`drafts.py`), with every search of a pattern in linear time (`patterns.py`) and every
step counted. `reader.py` is the JSON parser that takes a text in pieces, `node.py` what can be told of a value before it
is complete, `wording.py` what is said about a fault. Pure: no I/O; references resolve among the documents that are given.
"""
