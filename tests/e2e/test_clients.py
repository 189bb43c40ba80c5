"""Client libraries that cannot share the tests' environment: through the proxy and direct they give equal objects, a block is
their typed error and is not retried, and a stream that was cut is an error.

Python libraries run in the environment of `make test-clients`, the clients for Node in `tests/node`. Each runs all its cases in
one process, which prints the results; the processes run at the same time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import GUARD, MAIL, NO_BREAKER, PASS, ROOT, Upstream, serve

pytestmark = pytest.mark.clients

PYTHON = Path(os.environ.get("GUARDPROXY_CLIENTS", "")) / "bin" / "python"
NODE = ROOT / "tests" / "node"
CLIENTS = {
    "langchain": [str(PYTHON), "-W", "ignore", "-m", "tests.clients.langchain_models"],
    "litellm": [str(PYTHON), "-W", "ignore", "-m", "tests.clients.litellm_client"],
    "instructor": [str(PYTHON), "-W", "ignore", "-m", "tests.clients.instructor_client"],
    "pydantic-ai": [str(PYTHON), "-W", "ignore", "-m", "tests.clients.pydantic_agents"],
    "node openai": ["node", str(NODE / "openai.mjs")],
    "node anthropic": ["node", str(NODE / "anthropic.mjs")],
    "node vercel": ["node", str(NODE / "vercel.mjs")],
}
LEAST = {"instructor": 20, "pydantic-ai": 25}  # cases that are the same; of the others 30
# The errors of a block, as a program catches them. Instructor wraps the errors of the client that it uses.
BLOCKED = {
    "langchain": {"OpenAIInvalidRequestError", "AnthropicInvalidRequestError", "BadRequestError"},
    "litellm": {"BadRequestError"},
    "instructor": {"InstructorRetryException"},
    "pydantic-ai": {"ModelHTTPError"},
    "node openai": {"BadRequestError"},
    "node anthropic": {"BadRequestError"},
    "node vercel": {"APICallError"},
}
CUT_ERRORS = {
    "langchain": {"APIError", "APIStatusError"},
    "litellm": {"MidStreamFallbackError", "BadGatewayError"},
    "instructor": {"InstructorRetryException"},
    "pydantic-ai": {"APIError"},
    "node openai": {"APIError"},
    "node anthropic": {"APIError"},
}
STOPPED = ("content_filter", "content-filter", "refusal")
# Pydantic AI reads no reason from `response.incomplete`, from the API's own neither.
NO_REASON = ("pydantic-ai", "responses stream stopped")
FINISHED = ('"stop"', '"end_turn"', '"message_stop"', '"response.completed"', '"finish"')


@dataclass(frozen=True, slots=True)
class Judged:
    """What a client saw. `same`: of each case the results direct and proxied; `guarded`: the results behind rules."""

    same: dict[str, tuple[Any, Any]]
    guarded: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What every client saw, and the records of the proxy that guarded them all."""

    clients: dict[str, Judged]
    records: list[dict[str, Any]]

    def guarded(self, name: str, *endings: str) -> dict[str, Any]:
        """The results of a client's cases behind rules whose names end with one of these words."""
        found = {case: result for case, result in self.clients[name].guarded.items() if case.endswith(endings)}
        assert found
        return found


def _run(command: list[str]) -> Judged:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.strip("\n").rpartition("\n")[2])
    same = {case: (direct, proxied) for case, (direct, proxied) in results["same"].items()}
    return Judged(same, results["guarded"])


@pytest.fixture(scope="module")
def judgement(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    """Runs every client."""
    assert PYTHON.is_file(), "GUARDPROXY_CLIENTS must name the environment of the libraries; `make test-clients` does"
    assert (NODE / "node_modules").is_dir(), "`make test-clients` installs the clients for Node"
    with ExitStack() as stack:
        upstream = Upstream()
        stack.callback(upstream.close)
        passing = serve(upstream.url, tmp_path_factory.mktemp("passing"), PASS, *NO_BREAKER)
        stack.callback(passing.stop)
        guarding = serve(upstream.url, tmp_path_factory.mktemp("guarding"), GUARD, *NO_BREAKER)
        stack.callback(guarding.stop)
        urls = [upstream.url, passing.url, guarding.url]
        pool = stack.enter_context(ThreadPoolExecutor(max(2, os.cpu_count() or 2)))
        running = {name: pool.submit(_run, [*command, *urls]) for name, command in CLIENTS.items()}
        clients = {name: future.result() for name, future in running.items()}
        return Judgement(clients, guarding.records())


@pytest.mark.parametrize("name", CLIENTS)
def test_objects_are_equal(name: str, judgement: Judgement) -> None:
    same = judgement.clients[name].same
    assert len(same) >= LEAST.get(name, 30)
    for case, (direct, proxied) in same.items():
        assert ("error" in direct) == (" error " in f" {case}"), f"{case}: {direct}"
        assert proxied == direct, case


@pytest.mark.parametrize("name", CLIENTS)
def test_a_block_is_a_typed_error(name: str, judgement: Judgement) -> None:
    for case, result in judgement.guarded(name, "block").items():
        error = result["error"]
        assert error["kind"] in BLOCKED[name], f"{case}: {error}"
        assert error["status"] == 400 or name == "instructor", f"{case}: {error}"
        assert "content_filter" in json.dumps(error), f"{case}: {error}"
        assert "a policy refused" in error["message"]


def test_no_client_asks_again(judgement: Judgement) -> None:
    """Each case behind rules is one request, though the clients may retry."""
    assert len(judgement.records) == sum(len(client.guarded) for client in judgement.clients.values())


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "instructor"])
def test_a_stopped_stream_ends_as_filtered(name: str, judgement: Judgement) -> None:
    for case, result in judgement.guarded(name, "stopped").items():
        seen = json.dumps(result["value"]).replace("then umbrella-corp", "")  # a library may give the request too
        assert "umbrella" not in seen, case
        assert any(word in seen for word in STOPPED) or (name, case) == NO_REASON, f"{case}: {seen[-500:]}"


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "instructor"])
def test_a_value_comes_back(name: str, judgement: Judgement) -> None:
    for case, result in judgement.guarded(name, "restored").items():
        assert result == {"value": f"{MAIL}!"}, case


@pytest.mark.parametrize("name", CLIENTS)
def test_a_cut_stream_is_not_a_finished_one(name: str, judgement: Judgement) -> None:
    for case, result in judgement.guarded(name, "cut", "reset").items():
        assert "error" in result, f"{case}: {json.dumps(result)[-500:]}"
        if name in CUT_ERRORS:
            assert result["error"]["kind"] in CUT_ERRORS[name], f"{case}: {result['error']}"
        before = json.dumps(result["before"])
        assert not any(word in before for word in FINISHED), f"{case}: {before[-500:]}"


def test_the_libraries_run_apart() -> None:
    assert Path(sys.prefix).resolve() != PYTHON.parents[1].resolve()
