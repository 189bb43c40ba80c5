"""Pictures of pages for the documentation: small, and written again only when something other than numbers and times changed.

In: a PNG of a browser. Out: a PNG of few colours; whether it shows the same page as another one.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageChops

LIMIT_BYTES = 150_000
COLOURS = 96
NOISE = 0.02  # the share of pixels that numbers, times and ids change from run to run


def shrunk(png: bytes) -> bytes:
    """The picture with few colours."""
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    made = io.BytesIO()
    whole.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()


def changed(before: bytes, after: bytes) -> float:
    """The share of pixels that clearly differ; 1 if the sizes do."""
    old, new = (Image.open(io.BytesIO(png)).convert("L") for png in (before, after))
    if old.size != new.size:
        return 1.0
    differences = ImageChops.difference(old, new).histogram()
    return sum(differences[32:]) / (old.width * old.height)


def colours(png: bytes) -> int:
    """How many colours a picture has. A page that shows nothing has few."""
    found = Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 24)
    return len(found or ())


def keep(path: Path, png: bytes) -> bool:
    """Writes a picture unless the one that is there shows the same. Returns whether it was written."""
    small = shrunk(png)
    if path.is_file() and changed(path.read_bytes(), small) < NOISE:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(small)
    return True
