"""Keys of the proxy's own and tokens: who gets in, what goes upstream, and that no key is kept anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import httpx
import jwt
import openai
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types

from guardproxy.library import load
from tests.e2e.rig import PASS, Proxy, Upstream, serve, wait_logged
from tests.kit import processes
from tests.kit.records import replay

UPSTREAM_KEY = "sk-of-the-upstream-0123456789"
ISSUER, AUDIENCE = "https://login.example", "guardproxy"
STRICT = """\
policy: strict
match: {tenants: [nobody]}
checks: {word: {use: pattern, words: [falcon]}}
rules: [{id: no-falcon, on: request, when: word, action: block}]
"""
SIGNING = Ed25519PrivateKey.generate()
MESSAGES: Any = [{"role": "user", "content": "echo: falcon"}]


def keys(*words: str) -> str:
    """Runs `guardproxy keys` and returns what it prints."""
    ran = processes.run("keys", *words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def token(**claims: Any) -> str:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann@example.com", "team": "red", "exp": now + 600, **claims}
    return jwt.encode(given, SIGNING, "EdDSA", {"kid": "k1"})


class Served:
    """A proxy with keys and tokens. `key`: may name any model; `small`: only models like `script*`; `guarded`: demands the
    policy `strict`."""

    def __init__(self, upstream: Upstream, folder: Path) -> None:
        self.folder = folder / "keys"
        self.key = keys("create", str(self.folder), "ann", "--tenant", "acme")
        self.small = keys("create", str(self.folder), "small", "--model", "script*", "--model", "text-embed*")
        self.guarded = keys("create", str(self.folder), "guarded", "--policy", "strict")
        self.gone = keys("create", str(self.folder), "gone", "--policy", "no-such-policy")
        self.all = [self.key, self.small, self.guarded, self.gone, UPSTREAM_KEY]
        key_set = {"keys": [{**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(SIGNING.public_key())), "kid": "k1"}]}
        (folder / "jwks.json").write_text(json.dumps(key_set))
        (folder / "policies").mkdir()
        (folder / "policies" / "strict.yaml").write_text(STRICT)
        self.policies = folder / "policies"
        options = {
            "--client-keys": str(self.folder),
            "--jwt-keys": str(folder / "jwks.json"),
            "--jwt-issuer": ISSUER,
            "--jwt-audience": AUDIENCE,
            "--jwt-tenant": "team",
            "--upstream-key": f"default={UPSTREAM_KEY}",
            "--limit-wrong-keys": "0",
            "--log-level": "debug",
        }
        self.proxy = serve(upstream.url, folder, PASS, *(word for pair in options.items() for word in pair))

    def ask(self, key: str, header: str = "authorization", prefix: str = "Bearer ", **body: Any) -> httpx.Response:
        sent = {"model": "scripted", "messages": MESSAGES, **body}
        headers = {header: prefix + key} if key else {}
        return httpx.post(f"{self.proxy.url}/v1/chat/completions", json=sent, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def served(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(shared_upstream, tmp_path_factory.mktemp("keys"))
    yield running
    running.proxy.stop()


def test_official_clients_get_in_and_the_upstream_gets_its_own_key(
    served: Served, upstream: Upstream, openai_at: Callable[[str], openai.OpenAI]
) -> None:
    url = served.proxy.url
    chat = openai_at(url).with_options(api_key=served.key)
    assert chat.chat.completions.create(model="scripted", messages=MESSAGES).choices[0].message.content == "falcon"
    with anthropic.Anthropic(base_url=url, api_key=served.key, max_retries=0, timeout=60) as messages:
        answer = messages.messages.create(model="scripted", max_tokens=9, messages=MESSAGES)
        assert answer.content[0].type == "text"
    google = genai.Client(api_key=served.key, http_options=genai_types.HttpOptions(base_url=url))
    assert google.models.generate_content(model="scripted", contents="echo: falcon").text == "falcon"
    in_query = {"contents": [{"role": "user", "parts": [{"text": "echo: falcon"}]}]}
    answered = httpx.post(f"{url}/v1beta/models/scripted:generateContent?key={served.key}", json=in_query, timeout=60)
    assert answered.status_code == 200
    assert served.ask(served.key, "api-key", "").status_code == 200
    seen = upstream.journal.all()
    own = [f"Bearer {UPSTREAM_KEY}", UPSTREAM_KEY, UPSTREAM_KEY, UPSTREAM_KEY, f"Bearer {UPSTREAM_KEY}"]
    names = ("authorization", "x-api-key", "x-goog-api-key", "x-goog-api-key", "authorization")
    assert [request.headers.get(name) for request, name in zip(seen, names, strict=True)] == own
    assert served.key not in str([(request.path, dict(request.headers), request.body) for request in seen])


def test_clients_without_a_right_key_get_the_errors_of_their_api(
    served: Served, upstream: Upstream, openai_at: Callable[[str], openai.OpenAI]
) -> None:
    url, wrong = served.proxy.url, served.key[:-4] + "AAAA"
    with pytest.raises(openai.AuthenticationError) as unknown:
        openai_at(url).with_options(api_key=wrong).chat.completions.create(model="scripted", messages=MESSAGES)
    assert unknown.value.code == "unknown_credential"
    with pytest.raises(openai.AuthenticationError):
        openai_at(url).with_options(api_key=wrong).models.list()  # a route that is passed through
    with pytest.raises(openai.PermissionDeniedError, match="the key does not allow the model `gpt-5`"):
        openai_at(url).with_options(api_key=served.small).chat.completions.create(model="gpt-5", messages=MESSAGES)
    with pytest.raises(openai.PermissionDeniedError, match="demands a policy that is not in force"):
        openai_at(url).with_options(api_key=served.gone).models.list()
    with anthropic.Anthropic(base_url=url, api_key=wrong, max_retries=0, timeout=60) as messages:
        message = partial(messages.messages.create, max_tokens=9, messages=MESSAGES)
        with pytest.raises(anthropic.AuthenticationError):
            message(model="scripted")
    with anthropic.Anthropic(base_url=url, api_key=served.small, max_retries=0, timeout=60) as messages:
        message = partial(messages.messages.create, max_tokens=9, messages=MESSAGES)
        with pytest.raises(anthropic.PermissionDeniedError):
            message(model="claude")
    google = genai.Client(api_key=wrong, http_options=genai_types.HttpOptions(base_url=url))
    with pytest.raises(genai_errors.ClientError) as refused:
        google.models.generate_content(model="scripted", contents="hi")
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    for body in (
        {"models": ["scripted", "gpt-5"]},
        {"model": "SCRIPTED"},
        {"fallbacks": [{"model": "gpt-5"}]},
        {"model": "scripted", "fallback_model": 7},
    ):
        assert served.ask(served.small, **body).status_code == 403, body
    assert served.ask(served.small).status_code == 200
    assert served.ask("").json()["error"]["code"] == "missing_credential"
    assert served.ask(UPSTREAM_KEY).status_code == 401
    assert len(upstream.journal.all()) == 1


def test_a_key_may_demand_a_policy(served: Served) -> None:
    assert served.ask(served.key).status_code == 200
    refused = served.ask(served.guarded)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_filter")
    free, blocked = served.proxy.records()[-2:]
    assert (free["client"], free["tenant_name"], blocked["client"]) == ("ann", "acme", "guarded")
    assert (blocked["demanded"], blocked["rules"]) == (["strict"], ["no-falcon"])
    for record in (free, blocked):
        assert replay(record, load(served.policies)).verdict == "identical"
    assert replay({**blocked, "demanded": []}, load(served.policies)).verdict == "different"


def test_tokens_of_the_issuer_get_in(served: Served, upstream: Upstream) -> None:
    assert served.ask(token()).status_code == 200
    record = served.proxy.records()[-1]
    assert (record["tenant_name"], record.get("client", "")) == ("red", "")
    assert "ann@example.com" not in json.dumps(record), "a subject is personal data"
    (sent,) = upstream.journal.all()
    assert sent.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    past = int(time.time()) - 3600
    for claims, code in (
        ({"exp": past}, "expired_credential"),
        ({"aud": "another service"}, "unknown_credential"),
        ({"iss": "https://evil.example"}, "unknown_credential"),
        ({"team": "a/b"}, "unknown_credential"),
    ):
        refused = served.ask(token(**claims))
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, code), claims


def test_keys_change_while_the_proxy_runs(served: Served) -> None:
    first = keys("create", str(served.folder), "bob")
    wait_logged(served.proxy.process, served.proxy.log, "clients reloaded", 1)
    assert served.ask(first).status_code == 200
    second = json.loads(keys("rotate", str(served.folder), "bob", "--json"))["key"]
    wait_logged(served.proxy.process, served.proxy.log, "clients reloaded", 2)
    assert [served.ask(key).status_code for key in (first, second)] == [200, 200]
    old, new = served.proxy.records()[-2:]
    assert old["tenant"] == new["tenant"], "placeholders stay the same"
    keys("revoke", str(served.folder), "bob", "--key", first[:15])
    wait_logged(served.proxy.process, served.proxy.log, "clients reloaded", 3)
    assert [served.ask(key).status_code for key in (first, second)] == [401, 200]
    file = served.folder / "keys.json"
    right = file.read_bytes()
    file.write_bytes(right[:-30])
    wait_logged(served.proxy.process, served.proxy.log, "clients not reloaded")
    assert served.ask(second).status_code == 200
    told = httpx.get(f"{served.proxy.admin_url}/readyz", timeout=60)
    assert told.status_code == 200
    assert "what was read before stays in force" in told.text
    file.write_bytes(right)
    served.all += [first, second]


def test_no_key_is_kept_anywhere(served: Served) -> None:
    """Runs last: after all that the tests above did, in the records, the log at its highest level and the metrics."""
    sent = token()
    served.ask(sent)
    metrics = httpx.get(f"{served.proxy.admin_url}/metrics", timeout=60).text
    audit = "".join(path.read_text() for path in served.proxy.audit.iterdir() if path.suffix == ".jsonl")
    kept = served.proxy.log.read_text() + metrics + audit + (served.folder / "keys.json").read_text()
    for secret in (*served.all, sent):
        assert secret not in kept
        assert secret[16:] not in kept, "not even the part behind the public prefix"


def test_wrong_keys_of_an_address_are_limited_but_right_ones_are_not(
    proxy_with: Callable[..., Proxy], tmp_path: Path
) -> None:
    folder = str(tmp_path / "keys")
    right = keys("create", folder, "ann")
    options = ("--client-keys", folder, "--limit-wrong-keys", "3")
    proxy = proxy_with(PASS, *options)

    def get(key: str) -> httpx.Response:
        return httpx.get(f"{proxy.url}/v1/models", headers={"x-api-key": key}, timeout=60)

    assert [get(f"wrong-{number}").status_code for number in range(3)] == [401, 401, 401]
    refused = get("wrong-4")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_wrong_keys")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert get(right).status_code == 200


def test_what_an_upstream_says_of_the_key_of_the_proxy_is_not_told(
    proxy_with: Callable[..., Proxy], tmp_path: Path
) -> None:
    folder = str(tmp_path / "keys")
    right = keys("create", folder, "ann")
    proxy = proxy_with(PASS, "--client-keys", folder)
    sent = {"model": "scripted", "messages": [{"role": "user", "content": "error 401"}]}
    answer = httpx.post(
        f"{proxy.url}/v1/chat/completions", json=sent, headers={"authorization": f"Bearer {right}"}, timeout=60
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_key_refused")


def test_a_start_without_keys_says_what_to_do(tmp_path: Path) -> None:
    words = ["serve", "--upstream", "http://127.0.0.1:9", "--audit", str(tmp_path / "audit"), "--port", "0"]
    ran = processes.run(*words, "--admin-port", "0", "--client-keys", str(tmp_path / "keys"))
    assert ran.returncode == 2
    assert "`guardproxy keys create` makes the file" in ran.stderr
