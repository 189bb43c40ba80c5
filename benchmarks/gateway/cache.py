"""How often the semantic cache finds the answer of a reworded question, how often that of another question, and what it costs.

Run `python -m benchmarks.gateway.cache --out DIR`: prints figures and writes `cache.json` to DIR. Compared on pairs of
questions: the wording alone, the cache with its models, and the cosine of the supervisor's encoder (the mean of its last
layer), alone and where numbers, names, negations and quoted texts are equal. The cost is that of the exchange: the request with
and without a section `cache`, and that of a comparison by models.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import platform
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from multidict import CIMultiDict

from benchmarks.gateway.cache_pairs import Pair, everyday, pairs
from benchmarks.gateway.semantic_cache import Cache
from guardproxy.exchange import Exchange, Keys, RequestReceived, caching, each, play
from guardproxy.exchange.inputs.paraphrase import said
from guardproxy.inference import Models
from guardproxy.server.driving.answer_cache import MemoryAnswers
from guardproxy.server.driving.caching import with_headers
from guardproxy.server.driving.similar.comparing import QuestionComparison, QuestionModels, SimilarQuestions
from guardproxy.server.driving.similar.questions import StoredQuestion, _Entry, nearest
from guardproxy.server.driving.store_cipher import NOBODY, Owners, StoreCipher
from guardproxy.server.observing.metrics import Metrics
from tests.kit.play import CHAT, policy_set, setting

ROOT = Path(__file__).resolve().parents[2]
COSINES = (0.99, 0.97, 0.95, 0.9, 0.85, 0.8)
ENCODER_PAIRS = 40  # of a family
_EXACT = re.compile(r"\"[^\"]*\"|\b[A-Z]\w*|\S*[\d+#$€%]\S*|\b(?:not|no|never|without)\b|n't\b")
POOLED = "/network/Div_output_0"
Liken = Callable[[Pair], float]


def by_words(pair: Pair) -> float:
    return float(said(pair.first) == said(pair.second))


def exact(text: str) -> list[str]:
    """The numbers, names, negations and quoted texts of a question, in order."""
    return _EXACT.findall(text[0].lower() + text[1:])


def rates(found: Iterable[Pair], liken: Liken, points: Iterable[float]) -> dict[str, dict[str, dict[str, float]]]:
    """The share of hits: part -> `hits` or `wrong` -> point, and the number of pairs."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pair in found:
        scores[pair.part, "hits" if pair.is_same else "wrong"].append(liken(pair))
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (part, kind), values in scores.items():
        table[part][kind] = {"pairs": len(values)}
        table[part][kind] |= {f"{point:g}": round(sum(v >= point for v in values) / len(values), 5) for point in points}
    return dict(table)


def by_family(found: Iterable[Pair]) -> dict[str, dict[str, Any]]:
    """The share of hits of each family, by the rules of the cache."""
    table: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        table[pair.family].append(pair)
    return {
        family: {
            "part": members[0].part,
            "same": members[0].is_same,
            "pairs": len(members),
            "hits": round(sum(by_words(pair) >= 1 for pair in members) / len(members), 4),
        }
        for family, members in table.items()
    }


def encoder(model: Path) -> Callable[[str], Any]:
    """A function from a text to the normalized mean of the encoder's last layer."""
    import numpy
    import onnx
    import onnxruntime
    from tokenizers import Tokenizer

    graph = onnx.load(str(model / "model.onnx"))
    graph.graph.output.append(onnx.helper.make_tensor_value_info(POOLED, onnx.TensorProto.FLOAT, ["rows", None]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, ["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    def embed(text: str) -> Any:
        ids = [tokenizer.encode(text).ids[:256]]
        (row,) = session.run([POOLED], {"input_ids": ids, "attention_mask": [[1] * len(ids[0])]})[0]
        return row / numpy.linalg.norm(row)

    return embed


def _seal(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def cost_us(policy: str, text: str, runs: int = 300) -> float:
    """The median time of a request in the exchange, from its bytes to `SendUpstream`, its scan included."""
    policies = policy_set(policy)
    keys = Keys.of(b"k" * 32, "tenant", _seal)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    times = []
    for _ in range(runs):
        exchange = Exchange(setting(policies, CHAT, keys=keys))
        began = time.perf_counter()
        play(exchange, [RequestReceived(body)], each(lambda job: job.check.scan([job.window])[0]))
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


def look_us(runs: int = 2000) -> float:
    """The median time of a look into memory, with the headers of a request."""
    policies = policy_set("policy: p\ncache: {mode: exact}\n")
    exchange = Exchange(setting(policies, CHAT, keys=Keys.of(b"k" * 32, "tenant", _seal)))
    exchange.receive(
        RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode())
    )
    query, answers = exchange.cache, MemoryAnswers(1 << 20, time.monotonic)
    assert query is not None
    headers = CIMultiDict({"Authorization": "Bearer k", "Content-Type": "application/json", "User-Agent": "sdk/1.0"})
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        coroutine = answers.find(with_headers(query, headers))
        with suppress(StopIteration):
            coroutine.send(None)
        times.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(times), 1)


TAIL = "the {} that I have left in the garden of my house, as the owner of the shop near the old bridge has asked me to do it"
_THINGS = "lamp chair table bicycle ladder bucket blanket basket carpet mirror kettle candle guitar camera helmet"
THINGS = _THINGS.split()
SIZES = (1250, 2500, 5000, 10_000, 20_000)


def compared_ms(runs: int = 60) -> dict[str, float]:
    """The median and the 90th percentile of a comparison that the network judges both ways, as for a hit, of two questions of
    30 words, with nothing remembered; and the median of a search among some numbers of questions."""
    policies = policy_set("policy: p\ncache: {mode: semantic, point: 0.5}\n")
    models, metrics = Models(), Metrics()
    cipher = StoreCipher(b"k" * 32, "question")
    similar = SimilarQuestions(cipher, Owners(cipher, None), metrics, limit_s=60.0)
    similar.use(QuestionModels(models.embedder(), models.pairs()))
    exchange = Exchange(setting(policies, CHAT, keys=Keys.of(b"k" * 32, "tenant", _seal)))
    exchange.receive(
        RequestReceived(json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode())
    )
    assert exchange.cache is not None
    query = exchange.cache

    async def compare(text: str, partition: str) -> QuestionComparison:
        question = caching.CachedQuestion(partition=partition, holder="h", text=text)
        section = msgspec.structs.replace(query, question=question)
        comparison = await similar.compare(section, "0")
        assert comparison is not None
        return comparison

    async def measured() -> dict[str, float]:
        hits = []
        for run in range(runs):
            tail = TAIL.format(f"{THINGS[run % len(THINGS)]} and the {THINGS[run // len(THINGS)]}")
            first = await compare(f"How can I find {tail}?", str(run))
            similar.keep(first, "key", "source", 600.0, NOBODY)
            began = time.perf_counter()
            second = await compare(f"What can I do to find {tail}?", str(run))
            if second.told is not None and len(second.told.entails) == len(("forth", "back")):
                hits.append((time.perf_counter() - began) * 1000)
        found = {
            "hits": float(len(hits)),
            "hit median": statistics.median(hits),
            "hit p90": sorted(hits)[len(hits) * 9 // 10],
        }
        vector = first.vector
        for size in SIZES:
            entries = [_Entry(StoredQuestion(str(at), "", vector, ""), "h", "0", 600.0) for at in range(size)]
            times = []
            for _ in range(15):
                began = time.perf_counter()
                nearest(entries, "0", 0.0, vector, 8)
                times.append((time.perf_counter() - began) * 1000)
            found[f"search {size}"] = statistics.median(times)
        await similar.close(1.0)
        return {name: round(value, 2) for name, value in found.items()}

    return asyncio.run(measured())


def costs() -> dict[str, float]:
    watch = (
        "policy: p\nchecks: {w: {use: pattern, words: [zebra]}}\nrules:\n  - {id: w, on: user, when: w, action: flag}\n"
    )
    text = "Can you tell me what the capital of France is, please?"
    result: dict[str, list[float]] = defaultdict(list)
    for _ in range(7):
        none = cost_us(watch, text)
        for mode in ("exact", "semantic"):
            result[mode].append(cost_us(watch + f"cache: {{mode: {mode}}}\n", text) - none)
    return {**{mode: round(statistics.median(times), 1) for mode, times in result.items()}, "look": look_us()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=800, help="pairs of a family")
    arguments = parser.parse_args()
    out: Path = arguments.out
    found = list(dict.fromkeys(pairs(arguments.each)))
    few = list(pairs(ENCODER_PAIRS))
    models = Cache()

    def by_models(pair: Pair) -> float:
        return models(pair.first, pair.second)

    embed = encoder(ROOT / "models" / "supervisor")
    known: dict[str, Any] = {text: embed(text) for pair in few for text in (pair.first, pair.second)}

    def cosine(pair: Pair) -> float:
        return float(known[pair.first] @ known[pair.second])

    def gated(pair: Pair) -> float:
        return cosine(pair) if exact(pair.first) == exact(pair.second) else 0.0

    result = {
        "machine": platform.processor() or platform.machine(),
        "pairs": {"same": sum(pair.is_same for pair in found), "different": sum(not pair.is_same for pair in found)},
        "words": rates(found, by_words, (1.0,)),
        "models": rates(found, by_models, models.points.values()),
        "everyday": rates(everyday(), by_models, models.points.values()),
        "encoder": rates(few, cosine, COSINES),
        "encoder with equal parts": rates(few, gated, COSINES),
        "families": by_family(found),
        "added_us": costs(),
        "compared_ms": compared_ms(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "cache.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "families"}, indent=1))


if __name__ == "__main__":
    main()
