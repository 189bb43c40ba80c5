"""Runs work on parts of files: in this process, on all cores of this machine, or on a Ray cluster.

    files --parts_of--> parts --each(work, parts)--> results, in the order of the parts

| module | content |
|---|---|
| `parts` | cuts files into parts of bounded size, and reads the lines of a part |
| `objects` | files in object stores, which are read like local files |
| `station` | what a worker does: opens the work once, then does one task after the other |
| `schedule` | gives tasks to workers, repeats what a lost worker left, and returns results in order |
| `local` | workers in this process, or on all cores of this machine |
| `processes` | workers in processes of their own |
| `cluster` | workers on a Ray cluster |

A result depends on its part alone, and results come in the order of their parts. So a caller that merges them in this order
gets the same report from every engine, with any number of workers.

Decision: docs/decisions/0044-parts-of-files-are-work-of-any-engine.md
"""

from __future__ import annotations

from guardproxy.engine.local import HERE, LocalEngine
from guardproxy.engine.objects import AnyPath, files_at, matching, path_at
from guardproxy.engine.parts import Part, parts_of
from guardproxy.engine.schedule import WorkEngine
from guardproxy.engine.station import Work

__all__ = [
    "HERE",
    "AnyPath",
    "LocalEngine",
    "Part",
    "Work",
    "WorkEngine",
    "files_at",
    "matching",
    "parts_of",
    "path_at",
]
