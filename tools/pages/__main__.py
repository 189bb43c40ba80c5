"""`python -m tools.pages [FILE...]`: writes the generated files again, and prints those that changed."""

from __future__ import annotations

import sys

from tools.pages import ROOT, is_current, made, paths

for path in sys.argv[1:] or paths():
    if not is_current(path):
        (ROOT / path).write_text(made(path), "utf-8")
        print(path)
