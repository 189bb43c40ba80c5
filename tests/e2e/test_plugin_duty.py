"""The example of a duty: built as a wheel, installed into an empty folder, and used by a proxy from there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from guardproxy.errors import DownstreamError
from guardproxy.gateway import Duty, Head, StoreAnswered, rerun
from tests.e2e.rig import GUARD, ROOT, Upstream, serve
from tests.e2e.sites import run, wheel_site
from tests.kit import processes

EXAMPLE = ROOT / "examples" / "plugin-duty"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed."""
    return wheel_site(EXAMPLE, tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def quota(monkeypatch: pytest.MonkeyPatch) -> Iterator[Duty]:
    """The duty itself, in this process."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import acme_quota

    yield acme_quota.build()
    del sys.modules["acme_quota"]


def test_it_is_as_short_as_it_says() -> None:
    code = (EXAMPLE / "acme_quota.py").read_text()
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(lines) <= 30


def test_its_own_tests_pass(site: Path) -> None:
    tests = str(EXAMPLE / "test_acme_quota.py")
    ran = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, tests)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_proxy_uses_it_and_its_records_decide_the_same_again(
    site: Path,
    upstream: Upstream,
    tmp_path: Path,
    openai_at: Callable[[str], openai.OpenAI],
    monkeypatch: pytest.MonkeyPatch,
    quota: Duty,
) -> None:
    monkeypatch.setattr("tests.e2e.rig.PLUGINS", str(site))
    options = ("--duty", "quota", "--pass-through", "GET /v1/models")
    proxy = serve(upstream.url, tmp_path / "proxy", GUARD, *options)
    client = openai_at(proxy.url).with_options(max_retries=0)

    def chat() -> object:
        return client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "echo: hello"}])

    refused = refusals(chat) + refusals(client.models.list)  # a route that goes on unread takes the same way
    assert proxy.stop() == 0

    assert refused[0].code == "rate_limit_exceeded"
    assert 1 <= int(refused[0].response.headers["Retry-After"]) <= 61
    records = proxy.records()
    assert {record["outcome"] for record in records} >= {"answered", "refused"}
    for record in records:
        (told,) = record["duties"]
        answered = [StoreAnswered(told["duty"], tuple(told["answers"]))]
        head = Head(record["id"], route=record["route"], tenant=record["tenant"], unix_s=record["at"])
        assert decision(quota, head, answered) == (
            "rate_limit_exceeded" if record["outcome"] == "refused" else "admitted"
        )
        other = [replace(answered[0], answers=(1 if record["outcome"] == "refused" else 4,))]
        assert decision(quota, head, other) != decision(quota, head, answered)


def refusals(call: Callable[[], object]) -> list[openai.RateLimitError]:
    """Those of eight calls, of which at least one is refused: a minute may end in between, so four are not enough."""
    refused: list[openai.RateLimitError] = []
    for _ in range(8):
        try:
            call()
        except openai.RateLimitError as error:
            refused.append(error)
        except openai.APIStatusError:
            continue  # the scripted upstream knows no models
    assert refused
    return refused


def decision(duty: Duty, head: Head, answered: list[StoreAnswered]) -> str:
    try:
        rerun([duty], head, answered)
    except DownstreamError as error:
        return error.code
    return "admitted"


def test_a_name_that_nobody_brings_stops_the_start(tmp_path: Path) -> None:
    words = ["serve", "--upstream", "http://127.0.0.1:9", "--duty", "quota", "--audit", str(tmp_path / "audit")]
    ran = processes.run(*words, "--port", "0", "--admin-port", "0")
    assert ran.returncode == 2
    assert "--duty quota: no installed package provides this duty (known: none is installed)" in ran.stderr
