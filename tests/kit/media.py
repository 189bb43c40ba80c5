"""Content that no check can read, as small as it can be: an image, a sound, a document, a signature, each in base64."""

from __future__ import annotations

import base64
import hashlib

_NOISE = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(4))


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = _coded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + _NOISE)
WAV = _coded(b"RIFF\x24\0\0\0WAVEfmt " + _NOISE)
PDF = _coded(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + _NOISE)
SIGNATURE = _coded(_NOISE[:64])
IMAGE_URL = f"data:image/png;base64,{PNG}"
