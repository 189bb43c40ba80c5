"""What the duties of clients cost a request in process: a key, a token that was seen before, a new token, and limits.

Run `python -m benchmarks.gateway.duties --out DIR`: prints a table, and writes `duties.json` to DIR. Each row is one call of
the duty with a real head, in microseconds of a core: the median over rounds, and the median of the slowest tenth. There is no
socket. Limits count in the memory of the process: a request is admitted, planned, told what is left, and settled.
`--limits-only` measures the limits alone. `--before FILE` adds the rows of another version, which ran on the machine at the
same time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from guardproxy.errors import DownstreamError
from guardproxy.events import Frame
from guardproxy.gateway import ClientKeys, Duties, Head, KnownClients, LimitSet, Trail, UsageLimits, read_limits
from guardproxy.gateway.clients import ClientFile, Clients, Guesses, StoredClient, StoredKey, Tokens, digest, new_key
from guardproxy.gateway.clients.credentials import Credential
from guardproxy.gateway.store import MemoryStore
from guardproxy.policy import PolicySet
from guardproxy.wire import Request
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT as MESSAGES
from tests.kit.play import policy_set
from tests.kit.records import plain_record

CLIENTS = (1, 1_000, 50_000)
ROUNDS, CALLS = 200, 50
NOW_S = 1_900_000_000.0
ISSUER, AUDIENCE = "https://login.example", "guardproxy"


def key(number: int) -> str:
    return new_key(f"{number:012x}", f"{number:043d}")


def clients(count: int) -> Clients:
    now = datetime.fromtimestamp(NOW_S, UTC)
    return Clients(
        ClientFile(
            clients=tuple(
                StoredClient(f"c{number}", "acme", (StoredKey(key(number)[:15], digest(key(number)), now),))
                for number in range(count)
            )
        )
    )


def duty(known: KnownClients) -> ClientKeys:
    seal = lambda data: hashlib.blake2b(data, digest_size=16, key=b"k" * 32).hexdigest()  # noqa: E731
    return ClientKeys(lambda: known, Guesses(0), seal, frozenset)


def admitting(duty: ClientKeys, secrets: list[str]) -> Callable[[int], None]:
    heads = [
        Head("x", "POST", route="POST /v1/chat/completions", unix_s=NOW_S, credential=Credential(secret, {}))
        for secret in secrets
    ]

    def call(number: int) -> None:
        with suppress(DownstreamError):
            duty.admit(heads[number % len(heads)])

    return call


def measured(call: Callable[[int], None], calls: int = CALLS) -> dict[str, float]:
    times, number = [], 0
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(calls):
            call(number)
            number += 1
        times.append((time.thread_time() - began) / calls * 1e6)
    slowest = sorted(times)[-ROUNDS // 10 :]
    return {"median_us": round(statistics.median(times), 2), "slow_us": round(statistics.median(slowest), 2)}


def tokens() -> dict[str, dict[str, float]]:
    private: dict[str, Any] = {
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
    }
    rows: dict[str, dict[str, float]] = {}
    for kind, signing in private.items():
        algorithm = jwt.algorithms.get_default_algorithms()[kind]
        text = json.dumps({"keys": [json.loads(algorithm.to_jwk(signing.public_key()))]}).encode()
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW_S + 100}
        sent = [jwt.encode({**claims, "sub": str(number)}, signing, kind) for number in range(ROUNDS * 5)]
        read = Tokens(text, "jwks", ISSUER, [AUDIENCE])
        new = admitting(duty(KnownClients(Clients(), read, has_tokens=True)), sent)
        rows[f"a new token, {kind}"] = measured(new, 5)
        rows[f"a token seen before, {kind}"] = measured(new)
    return rows


def limits() -> dict[str, dict[str, float]]:
    """The whole way of a request through one limit, and through six."""
    kinds = (
        ("requests", 'rate = "1000000/1s"'),
        ("tokens", 'rate = "1000000000/1s"'),
        ("tokens", 'budget = "1000000000/day"'),
    )
    rows: dict[str, dict[str, float]] = {}
    for count, chosen in ((1, kinds[:1]), (1, kinds[1:2]), (6, kinds * 2)):
        text = "\n".join(
            f'[[limit]]\nname = "l{number}"\nunit = "{unit}"\n{line}\nper = ["client"]'
            for number, (unit, line) in enumerate(chosen)
        )
        name = f"{count} limit{'s' * (count > 1)} ({', '.join(dict.fromkeys(unit for unit, _ in chosen))})"
        rows[name] = measured(way_of(read_limits(text.encode(), "limits"), PolicySet((), {}, "")))
    for match in ("", "match: {models: [m]}\n"):
        policy = f"policy: p\n{match}limits: [{{name: a, unit: tokens, rate: 1000000000/1s, per: [client]}}]\n"
        rows[f"1 limit of a policy{' with a condition' * bool(match)} (tokens)"] = measured(
            way_of(LimitSet(), policy_set(policy))
        )
    return rows


def way_of(known: LimitSet, policies: PolicySet) -> Callable[[int], None]:
    record = plain_record(usage={"input_tokens": 5, "output_tokens": 5}, sizes={"upstream": 100})
    request = Request("m", False, Frame(b" " * 400, tree={"model": "m", "max_tokens": 100}), list)
    limits = UsageLimits(lambda: known, 60, lambda name, mode: None, lambda: policies)
    duties = Duties([limits], MemoryStore())

    async def way(number: int) -> None:
        trail = Trail(Head(str(number), "POST", route="POST /v1/messages", tenant=str(number % 100), unix_s=NOW_S))
        await duties.admit(trail)
        if duties.is_planning(trail.head):
            await duties.plan(trail, request)
        duties.headers(trail.head, MESSAGES)
        await duties.settle(trail.head, record)

    def call(number: int) -> None:
        with suppress(StopIteration):  # it never waits, so it ends at once
            way(number).send(None)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--limits-only", action="store_true")
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    out: Path = options.out
    rows: dict[str, dict[str, float]] = {}
    for count in () if options.limits_only else CLIENTS:
        known = duty(KnownClients(clients(count)))
        rows[f"a right key, {count:,} clients"] = measured(admitting(known, [key(n) for n in range(count)]))
        rows[f"a wrong key, {count:,} clients"] = measured(admitting(known, [key(10**9 + n) for n in range(100)]))
    rows |= limits() if options.limits_only else tokens() | limits()
    for name, row in rows.items():
        print(f"{name:32} {row['median_us']:8.1f} us   slow {row['slow_us']:8.1f} us")
    report: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "rows": rows,
    }
    if options.before:
        report["before"] = json.loads(options.before.read_text())["rows"]
    out.mkdir(parents=True, exist_ok=True)
    (out / "duties.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
