"""The official client of MCP for Node: direct, through the proxy and through a guard of standard streams it gives equal
objects, in both revisions; and public servers for Node give the same behind a guard."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rig import MAIL, NO_BREAKER, PASS, ROOT, serve
from tests.e2e.test_mcp import GUARD, command, records
from tests.kit.mcp_server import STDIO, serving

pytestmark = pytest.mark.clients

NODE = ROOT / "tests" / "node"
SERVERS = NODE / "node_modules" / "@modelcontextprotocol"


def public(folder: Path) -> list[dict[str, Any]]:
    """Public servers, each with calls that need no network."""
    (folder / "files").mkdir()
    (folder / "files" / "a.txt").write_text("hello")
    files = str(folder / "files")
    calls: dict[str, tuple[list[str], list[tuple[str, dict[str, Any]]]]] = {
        "server-everything": (
            [],
            [
                ("echo", {"message": "hi"}),
                ("get-sum", {"a": 1, "b": 2}),
                ("get-structured-content", {"location": "New York"}),
                ("get-annotated-message", {"messageType": "error", "includeImage": True}),
                ("get-tiny-image", {}),
            ],
        ),
        "server-filesystem": (
            [files],
            [
                ("read_text_file", {"path": f"{files}/a.txt"}),
                ("list_directory", {"path": files}),
                ("read_text_file", {"path": "/etc/hostname"}),
            ],
        ),
        "server-memory": ([], [("read_graph", {})]),
    }
    found = []
    for name, (words, asked) in calls.items():
        direct = ["node", str(SERVERS / name / "dist" / "index.js"), *words]
        found.append({"name": name, "direct": direct, "guarded": command(folder, PASS, *direct), "calls": asked})
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Runs the client."""
    assert (NODE / "node_modules").is_dir(), "`make test-clients` installs the clients for Node"
    with ExitStack() as stack:
        servers = {name: stack.enter_context(serving(is_json=name == "json")) for name in ("stream", "json")}
        options = [word for name, url in servers.items() for word in ("--mcp", f"{name}={url}")]
        urls = []
        for policy in (PASS, GUARD):
            proxy = serve("", tmp_path_factory.mktemp("proxy"), policy, *options, *NO_BREAKER)
            stack.callback(proxy.stop)
            urls.append(proxy.url)
        folder = tmp_path_factory.mktemp("guards")
        words = [json.dumps(word) for word in (list(STDIO), command(folder, PASS, *STDIO), public(folder))]
        run = ["node", str(NODE / "mcp.mjs"), json.dumps(servers), *urls, *words]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert len(records(folder)) > 30
        return dict(json.loads(done.stdout.strip("\n").rpartition("\n")[2]))


def test_objects_are_equal(results: dict[str, Any]) -> None:
    assert len(results["same"]) >= 85
    for case, (direct, proxied) in results["same"].items():
        assert ("error" in direct) == (" error " in f" {case}"), f"{case}: {direct}"
        assert proxied == direct, case


def test_a_block_is_a_failed_tool(results: dict[str, Any]) -> None:
    blocked = [result for case, result in results["guarded"].items() if case.endswith("block")]
    assert len(blocked) == 2
    for result in blocked:
        assert result["value"]["found"]["isError"]
        assert "not by this tool" in result["value"]["found"]["content"][0]["text"]


def test_a_value_comes_back(results: dict[str, Any]) -> None:
    restored = [result for case, result in results["guarded"].items() if case.endswith("restored")]
    assert restored == [{"value": [f"{MAIL}!", f"{MAIL}!"]}] * 2
