"""One process for many workers: a server and its clients over a real unix socket, with a network that is made up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import CollectorRegistry

from guardproxy.checks._shared.declared.contract import Query, TextPair
from guardproxy.errors import ConfigError, Shortage
from guardproxy.findings import Kind
from guardproxy.inference.folders.model import Model
from guardproxy.inference.models import Models, Settings, find, load, load_pairs, read, read_pairs
from guardproxy.inference.pairs.judge import ModelPairJudge
from guardproxy.inference.running.batching import Row
from guardproxy.inference.running.meters import Registry
from guardproxy.inference.scoring.scorer import ModelScorer
from guardproxy.inference.serving import Serving, SharedCapacityError, SharedPairs, SharedScorer
from tests.kit.pair_models import CONFIG as PAIR_CONFIG
from tests.kit.pair_models import pair_folder, pair_model
from tests.kit.piece_models import OUTPUTS, piece_model
from tests.kit.plain_texts import ATTACKS, ORDINARY, PASSAGE
from tests.kit.span_models import span_model, span_scorer

pytestmark = pytest.mark.heavy


@cache
def made() -> Model:
    """A model that reads pieces and has a first stage."""
    return piece_model(first_stage=True)


def across(first: float) -> list[float]:
    """Logits of a row: this one for the first output, which is `jailbreak`, and another for each of the others."""
    return [first - column for column in range(len(OUTPUTS))]


class Lengths:
    """A row's first logit is how many tokens it has. It waits for `hold`."""

    provider = "test"
    budget = 1
    workers = 1

    def __init__(self) -> None:
        self.hold = Event()
        self.hold.set()
        self.begun = Event()
        self.ran: list[Row] = []

    def close(self) -> None:
        self.closed = True

    def run(self, rows: Sequence[Row]) -> list[list[float]]:
        self.begun.set()
        assert self.hold.wait(10)
        self.ran += rows
        return [across(float(len(row))) for row in rows]


class Served:
    """The serving side: its socket, its network and what it counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.network = Lengths()
        self.registry = CollectorRegistry()
        self.queue = 3
        self.model = made()
        self.asked: list[str] = []
        self.server: asyncio.AbstractServer | None = None
        self.clients: list[SharedScorer | SharedPairs] = []
        self.pairs = load_pairs(pair_model().folder, Settings(workers=1))

    def scorer(self, name: str) -> ModelScorer:
        self.asked.append(name)
        if name == "unknown":
            raise ConfigError("no model `unknown` is installed")
        meters = Registry(CollectorRegistry()).meters(name)
        scorer = ModelScorer(self.model, lambda pad, rows: self.network, meters, self.queue, 0)
        self.network.ran.clear()
        self.network.begun.clear()
        return scorer

    async def client(self, model: Model | None = None) -> SharedScorer:
        client = await asyncio.to_thread(SharedScorer, model or made(), self.path)
        self.clients.append(client)
        return client

    def judge(self, name: str) -> ModelPairJudge:
        self.asked.append(name)
        return self.pairs

    async def close(self) -> None:
        for client in self.clients:
            client.close()
            await asyncio.to_thread(client.thread.join, 10)
        if self.server:
            self.server.close()
            await self.server.wait_closed()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    it = Served(tmp_path / "models")
    it.server = await Serving(it.scorer, it.judge).start(it.path)
    yield it
    await it.close()


def ask(text: str, first_stage: bool = False) -> list[Query]:
    """Whatever a first stage would say, so that the network runs it."""
    return [Query(text, ("jailbreak",), first_stage)]


async def judge(scorer: SharedScorer, text: str) -> float:
    (pieces,) = await asyncio.wrap_future(scorer.submit(ask(text)))
    return pieces[0].scores["jailbreak"]


async def test_the_answers_are_those_of_the_scorer_behind_it(served: Served) -> None:
    scorer = await served.client()
    own = served.scorer("supervisor")
    texts = ("one two \ud800", "word " * 300 + "attack " + "word " * 399, "")
    queries = [query for text in texts for first_stage in (False, True) for query in ask(text, first_stage)]
    expected = await asyncio.wrap_future(own.submit(queries))
    assert await asyncio.wrap_future(scorer.submit(queries)) == expected
    assert await asyncio.to_thread(scorer.judge, queries) == expected
    assert [len(pieces) for pieces in expected] == [1, 1, 4, 4, 1, 1]
    assert {piece.cleared for piece in expected[3]} == {True, False}
    assert (scorer.digest, scorer.outputs, scorer.default_point) == (own.digest, own.outputs, "1%")
    assert (scorer.labels, scorer.points) == (own.labels, own.points)


async def test_the_channel_of_a_text_is_passed_on(served: Served) -> None:
    served.model = replace(made(), channels={"user": 1})
    scorer = await served.client(served.model)
    texts = [Query("one", ("jailbreak",), False, kind) for kind in ("user", "system", None)]
    judged = await asyncio.wrap_future(scorer.submit(texts))
    assert judged == await asyncio.wrap_future(served.scorer("supervisor").submit(texts))
    assert [row[1] == 1 for row in served.network.ran] == [True, False, False]
    assert judged[0] != judged[1] == judged[2]


class ServedSpans(Served):
    """Serves a model that reads in spans."""

    def scorer(self, name: str) -> ModelScorer:
        return span_scorer(self.model)[0]


async def test_a_model_that_reads_in_spans_is_served_too(tmp_path: Path) -> None:
    served = ServedSpans(tmp_path / "models")
    served.model = span_model(tmp_path / "spans")
    served.server = await Serving(served.scorer, served.judge).start(served.path)
    scorer = await served.client(served.model)
    text = " ".join(f"word {number}" for number in range(900))
    queries = [Query(text, ("attack",), first_stage, "user") for first_stage in (True, False)]
    expected = span_scorer(served.model)[0].judge(queries)
    answered = await asyncio.wrap_future(scorer.submit(queries))
    await served.close()
    assert answered == expected
    assert {piece.cleared for piece in expected[0]} == {True, False}


class ServedModels(Served):
    """Serves the models of this machine, each with its own network."""

    def scorer(self, name: str) -> ModelScorer:
        return load(find(name), settings=Settings(workers=1, remembered=0))


async def test_the_shipped_model_is_served_too(tmp_path: Path) -> None:
    served = ServedModels(tmp_path / "models")
    served.model = read(find())
    served.server = await Serving(served.scorer, served.judge).start(served.path)
    scorer = await served.client(served.model)
    texts = (ATTACKS[0], ORDINARY[0], PASSAGE * 10 + ATTACKS[0])
    kinds: tuple[Kind | None, ...] = ("user", None)
    queries = [
        Query(text, served.model.outputs, first_stage, kind)
        for text in texts
        for first_stage in (True, False)
        for kind in kinds
    ]
    answered = await asyncio.wrap_future(scorer.submit(queries))
    await served.close()
    assert answered == served.scorer("supervisor").judge(queries)
    assert scorer.clears_from("user") == served.model.clears_from("user")


async def test_answers_come_in_any_order(served: Served) -> None:
    scorer = await served.client()
    scores = await asyncio.gather(*(judge(scorer, "word " * number) for number in (3, 1, 2)))
    assert scores == [served.scorer("supervisor").reader.scores(across(n + 2.0))[0] for n in (3, 1, 2)]


async def test_what_nobody_waits_for_is_not_run(served: Served) -> None:
    scorer = await served.client()
    served.network.hold.clear()
    busy = asyncio.create_task(judge(scorer, "busy"))
    await asyncio.to_thread(served.network.begun.wait, 10)
    gone = scorer.submit(ask("gone"))
    assert await asyncio.wrap_future(scorer.submit([])) == [], "messages are read in order: the one before arrived"
    gone.cancel()
    last = asyncio.create_task(judge(scorer, "last"))
    assert await asyncio.wrap_future(scorer.submit([])) == []
    served.network.hold.set()
    await asyncio.gather(busy, last)
    assert len(served.network.ran) == 2


async def test_an_error_over_there_is_one_here(served: Served) -> None:
    served.queue = 1
    scorer = await served.client()
    served.network.hold.clear()
    busy = asyncio.create_task(judge(scorer, "busy"))
    await asyncio.to_thread(served.network.begun.wait, 10)
    waiting = [asyncio.create_task(judge(scorer, f"waiting {number}")) for number in range(2)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(SharedCapacityError, match=r"^QueueFull$") as raised:
        done.pop().result()
    assert raised.value.shortage is Shortage.FULL
    served.network.hold.set()
    await busy
    await asyncio.wait(waiting)


async def test_a_process_that_goes_fails_those_who_wait_and_is_asked_again_when_it_is_back(served: Served) -> None:
    scorer = await served.client()
    served.network.hold.clear()
    waiting = asyncio.create_task(judge(scorer, "waiting"))
    await asyncio.to_thread(served.network.begun.wait, 10)
    assert served.server
    served.server.close()
    writer = scorer._line._writer
    assert writer
    scorer._loop.call_soon_threadsafe(writer.transport.abort)
    with pytest.raises(SharedCapacityError, match="is gone"):
        await waiting
    served.path.unlink(missing_ok=True)
    with pytest.raises(SharedCapacityError, match="FileNotFoundError"):
        await judge(scorer, "again")
    served.network.hold.set()
    served.server = await Serving(served.scorer, served.judge).start(served.path)
    assert await judge(scorer, "again") > 0


async def test_another_model_under_the_name_is_refused(served: Served) -> None:
    with pytest.raises(ConfigError, match=r"does not serve `supervisor`: the model `supervisor` changed while"):
        await served.client(replace(made(), digest="sha256:other"))
    with pytest.raises(ConfigError, match=r"does not serve `unknown`: no model `unknown` is installed"):
        await served.client(replace(made(), folder=Path("unknown")))


async def test_a_process_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not serve `supervisor`: FileNotFoundError"):
        await asyncio.to_thread(SharedScorer, made(), tmp_path / "nothing")


async def test_who_says_nonsense_is_hung_up_on(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(served.path)
    writer.write(b"\xff\xff\xff\xff")
    assert await reader.read() == b""
    writer.close()


async def test_models_of_a_process_are_asked_for_over_its_socket(served: Served) -> None:
    models = Models((made().folder.parent,), Settings(socket=served.path))
    scorer = await asyncio.to_thread(models.scorer, "supervisor")
    assert isinstance(scorer, SharedScorer)
    served.clients.append(scorer)
    assert await asyncio.to_thread(models.scorer, "supervisor") is scorer
    assert served.asked == ["supervisor"]
    assert models.providers() == {"supervisor": "test in a process of its own"}


async def test_pairs_are_judged_over_the_socket_too(served: Served) -> None:
    models = Models((pair_model().folder.parent,), Settings(socket=served.path))
    judge = await asyncio.to_thread(models.pairs, "pairs")
    assert isinstance(judge, SharedPairs)
    served.clients.append(judge)
    pairs = [TextPair("a cat \ud800", "the dog"), TextPair("", ""), TextPair("word " * 40, "word " * 40)]
    assert await asyncio.to_thread(judge.judge, pairs) == served.pairs.judge(pairs)
    assert (judge.digest, judge.points) == (served.pairs.digest, served.pairs.points)
    assert judge.own_s(1000) > 0
    assert models.providers() == {"pairs": "CPUExecutionProvider in a process of its own"}
    assert await asyncio.to_thread(models.pairs, "pairs") is judge
    assert served.asked == ["pairs"]


async def test_another_model_of_pairs_is_refused(served: Served, tmp_path: Path) -> None:
    other = read_pairs(pair_folder(tmp_path / "pairs", {**PAIR_CONFIG, "version": "5"}))
    with pytest.raises(ConfigError, match="changed while it was loaded"):
        await asyncio.to_thread(SharedPairs, other, served.path)


async def test_the_client_learns_how_fast_the_model_is(served: Served) -> None:
    scorer = await served.client()
    assert scorer.own_s(1000) == 0.0
    await judge(scorer, "word " * 30)
    assert scorer.own_s(2000) == 2 * scorer.own_s(1000) > 0.0
