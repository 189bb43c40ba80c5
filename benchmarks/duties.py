"""What the duties of clients cost a request in process: a key, a token that was seen before, and a new token.

Run `python -m benchmarks.duties --out DIR`: prints a table, and writes `duties.json` to DIR. Each row is one call of the duty
with a real head, in microseconds: the median over rounds, and the median of the slowest tenth. There is no socket and no
store.
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
from guardproxy.gateway import (
    ClientFile,
    ClientKeys,
    Clients,
    Credential,
    Guesses,
    Head,
    KnownClients,
    StoredClient,
    StoredKey,
    Tokens,
    digest,
    new_key,
)

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
        began = time.perf_counter()
        for _ in range(calls):
            call(number)
            number += 1
        times.append((time.perf_counter() - began) / calls * 1e6)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out = parser.parse_args().out
    rows: dict[str, dict[str, float]] = {}
    for count in CLIENTS:
        known = duty(KnownClients(clients(count)))
        rows[f"a right key, {count:,} clients"] = measured(admitting(known, [key(n) for n in range(count)]))
        rows[f"a wrong key, {count:,} clients"] = measured(admitting(known, [key(10**9 + n) for n in range(100)]))
    rows |= tokens()
    for name, row in rows.items():
        print(f"{name:32} {row['median_us']:8.1f} us   slow {row['slow_us']:8.1f} us")
    report = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(), "rows": rows}
    (out / "duties.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
