"""Programs for those who work on guardproxy. None is a part of the wheel, and each is run with `python -m tools.NAME`.

- `pages`: writes every generated file of the repository again.
- `slow`: which unit tests take long, for `make quick`.
- `branch_coverage`: holds the coverage of the pure packages to their floors.
- `hot_path`, `chunk_cost`, `open_streams`: calls of functions for a request and for a chunk, bytes of an open stream.
- `cost`: bodies that repeat one part many times, and the work that they cause.
- `large`: how the time of an exchange grows with texts of 64 to 256 KB.
- `fuzzing`: hostile bytes for every wire format.
- `differential`: our findings against Presidio's.
"""
