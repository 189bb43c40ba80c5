"""Runs a network on another server that speaks KServe v2 over HTTP, such as Triton or onnxruntime-server.

In: rows of token numbers. Out: the logits of each row. Kept: idle connections. Texts are tokenized here and never
leave: the server gets numbers. A wrong answer is an error of the check, and the policy's `on_error` decides. A missing
answer (the server is overloaded, late or unreachable) is no verdict: the request is refused with 503.

Rows of similar length share a call if a test at the start shows that rows in the same call change a logit by at most
`NEAR`; scores are then rounded to three digits. If they change it more (an int8 network scales its activations over a
whole batch), each row gets its own call.
"""

from __future__ import annotations

import http.client
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from guardproxy.errors import ConfigError, GuardproxyError, NoCapacityError, Shortage
from guardproxy.inference.folders.model import Model
from guardproxy.inference.running.batching import Row

DIGITS = 3
NEAR = 0.002
LENGTHS = (32, 64, 128, 256, 512)
"""A row is padded to the smallest of these lengths that fits."""
_INPUTS = ("input_ids", "attention_mask")
_LIMIT_BYTES = 4 * 1024 * 1024


class KServeError(GuardproxyError):
    """The model server answered with an error or with something unexpected."""


class BusyError(NoCapacityError, KServeError):
    """The server of the model is overloaded or cannot be reached."""


class LateError(NoCapacityError, KServeError, TimeoutError):
    """The server of the model did not answer in time."""


_SHORT = {429: Shortage.FULL, 502: Shortage.GONE, 503: Shortage.FULL, 504: Shortage.LATE}
"""Statuses that say nothing about the rows: the server, or a proxy in front of it, has no capacity."""


class KServe:
    """Implements `guardproxy.inference.running.batching.Network`. `outputs`: number of logits of a row."""

    budget = 2048
    # A call waits for another machine, so the number does not depend on the cores of this one.
    workers = 4

    def __init__(self, url: str, name: str, pad: int, outputs: int, timeout_s: float) -> None:
        parts = urlsplit(url)
        self.provider = f"KServe v2 at {parts.netloc}"
        self._make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host = parts.netloc
        self._path = f"{parts.path.rstrip('/')}/v2/models/{quote(name, safe='')}"
        self._pad = pad
        self._outputs = outputs
        self._timeout_s = timeout_s
        self._idle: deque[http.client.HTTPConnection] = deque()
        self.batched = False

    @classmethod
    def connect(cls, url: str, model: Model, pad: int, rows: Sequence[Row], timeout_s: float) -> KServe:
        """Returns a network after it checked the model's inputs and outputs on the server.

        Runs `rows` alone and together to find out whether rows may share a call. Raises `ConfigError`.
        """
        network = cls(url, model.folder.name, pad, model.width, timeout_s)
        try:
            about = network._call("GET", "")
            takes, gives = ({tensor["name"] for tensor in about[key]} for key in ("inputs", "outputs"))
            if takes != set(_INPUTS) or "logits" not in gives:
                raise KServeError(
                    f"the model must take {' and '.join(_INPUTS)} and give logits; "
                    f"it takes {', '.join(sorted(takes))} and gives {', '.join(sorted(gives))}"
                )
            alone = network.run(rows)
            network.batched = True
            beside = network.run([*rows, *rows])
        except (KServeError, OSError, KeyError, TypeError) as error:
            network.close()
            raise ConfigError(f"{network.provider} cannot be used: {error}") from error
        pairs = zip(itertools.chain(*alone, *alone), itertools.chain(*beside), strict=True)
        network.batched = all(abs(alone - beside) <= NEAR for alone, beside in pairs)
        return network

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        logits: list[list[float]] = [[]] * len(rows)
        for numbers in self._calls(rows):
            for number, row_logits in zip(numbers, self._infer([rows[at] for at in numbers]), strict=True):
                logits[number] = row_logits
        return logits

    def _calls(self, rows: Sequence[Row]) -> list[list[int]]:
        """Returns groups of row indexes; the rows of a group share a call."""
        if not self.batched:
            return [[number] for number in range(len(rows))]
        by_length: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            by_length.setdefault(self._length(row), []).append(number)
        return list(by_length.values())

    @staticmethod
    def _length(row: Row) -> int:
        return next(length for length in LENGTHS if len(row) <= length)

    def _infer(self, rows: Sequence[Row]) -> list[list[float]]:
        length = self._length(rows[0]) if self.batched else len(rows[0])
        ids: list[int] = []
        mask: list[int] = []
        for row in rows:
            ids += [*row, *[self._pad] * (length - len(row))]
            mask += [*[1] * len(row), *[0] * (length - len(row))]
        inputs = [
            {"name": name, "shape": [len(rows), length], "datatype": "INT64", "data": data}
            for name, data in zip(_INPUTS, (ids, mask), strict=True)
        ]
        answer = self._call("POST", "/infer", orjson.dumps({"inputs": inputs, "outputs": [{"name": "logits"}]}))
        try:
            tensors = [tensor["data"] for tensor in answer.get("outputs", ()) if tensor["name"] == "logits"]
        except (AttributeError, KeyError, TypeError) as error:
            raise KServeError("the server's answer is not valid in KServe v2") from error
        flat = _flat(tensors[0]) if tensors else []
        if len(flat) != len(rows) * self._outputs:
            raise KServeError(f"the model gave {len(flat)} logits for {len(rows)} rows of {self._outputs}")
        return [flat[at : at + self._outputs] for at in range(0, len(flat), self._outputs)]

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Returns the JSON of the server's answer. Raises `KServeError` or `OSError`."""
        while True:
            # The server may have closed an idle connection; sending the request again loses nothing.
            kept = self._taken()
            connection = kept or self._make(self._host, timeout=self._timeout_s)
            try:
                connection.request(method, self._path + path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                content = response.read(_LIMIT_BYTES)
            except TimeoutError:
                connection.close()
                raise LateError(Shortage.LATE, "the server does not answer in time") from None
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if kept is None:
                    raise BusyError(Shortage.GONE, f"the server does not answer ({type(error).__name__})") from error
                continue
            # What is left of an answer would be taken for the beginning of the next.
            if response.status != 200 or not response.isclosed():
                connection.close()
                message = f"the server answered with status {response.status}, {len(content)} bytes or more"
                if response.status in _SHORT:
                    raise BusyError(_SHORT[response.status], message)
                raise KServeError(message)
            self._idle.append(connection)
            try:
                return orjson.loads(content)
            except ValueError as error:
                raise KServeError("the server's answer is not JSON") from error

    def close(self) -> None:
        """Closes the connections that no call uses."""
        while (connection := self._taken()) is not None:
            connection.close()

    def _taken(self) -> http.client.HTTPConnection | None:
        """Takes an idle connection, without a look before: another worker could take the last one in between."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _flat(data: Any) -> list[float]:
    """Returns a tensor's numbers as a flat list; a server may nest them by shape."""
    if not isinstance(data, list):
        raise KServeError("the logits are not a list of numbers")
    numbers: list[float] = []
    for item in data:
        if isinstance(item, int | float) and not isinstance(item, bool):
            numbers.append(float(item))
        else:
            numbers += _flat(item)
    return numbers
