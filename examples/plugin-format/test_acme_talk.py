"""What a package's own tests need to show: the format keeps its contract."""

from collections.abc import Callable

import pytest
from acme_talk.codec import CODEC

from guardproxy import testing
from guardproxy.wire import Codec


@pytest.mark.parametrize("promise", testing.PROMISES, ids=lambda promise: promise.__name__)
def test_it_keeps_its_contract(promise: Callable[[Codec], None]) -> None:
    promise(CODEC)


def test_the_path_names_the_model() -> None:
    request = CODEC.read_request("/acme/models/talker-1:talk", "", b'{"turns": [{"from": "user", "text": "hi"}]}')
    assert (request.model, request.stream) == ("talker-1", False)
