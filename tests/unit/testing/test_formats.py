"""Every shipped format keeps the promises of the conformance suite, and the suite notices what is broken."""

from __future__ import annotations

import pytest

from guardproxy.testing import PROMISES
from guardproxy.testing.formats import Promise
from guardproxy.wire.codec import Codec
from guardproxy.wire.registry import codecs


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: codec.name)
@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_shipped_format_keeps_a_promise(codec: Codec, promise: Promise) -> None:
    promise(codec)
