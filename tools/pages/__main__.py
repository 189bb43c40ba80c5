"""`python -m tools.pages [FILE...]`: writes the generated files again, and prints those that changed."""

from __future__ import annotations

import sys

from tools.pages import ROOT, made, paths

for path in sys.argv[1:] or paths():
    if (text := made(path)) != (ROOT / path).read_text("utf-8"):
        (ROOT / path).write_text(text, "utf-8")
        print(path)
