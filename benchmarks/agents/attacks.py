"""How many orders of strangers reach a tool with side effects, and how many honest tasks still succeed, with each guard.

Run `python -m benchmarks.agents.attacks --out DIR [--guards NAME...] [--doors NAME...] [--half tuned]`: prints a table and
writes `agents.json`. Each of the 200 scenes runs with each guard of `guards/`, over each door: `mcp`, where the guard stands
between the agent and its tools, `mcp without sessions`, the same with the newest revision of MCP, and `llm`, where it stands
between the agent and its model (chat completions and Anthropic messages in turn). The agent, the clients and the servers are
real, the model is a gullible script.

The user confirms a call that the task needs and denies every other. A task that needed the user counts as confirmed. Policies
were tuned on one half of the scenes; `held out` has the figures of the other. A zero of N is below 3/N with 95 % confidence
(the rule of three); this bound stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from benchmarks.agents.domains import DOMAINS
from benchmarks.agents.doors import Outcome, Tools, expected, harmed, run, succeeded
from benchmarks.agents.model import ChatThinking, MessagesThinking, ModelServer
from benchmarks.agents.scene import Scene
from benchmarks.agents.scenes import scenes
from benchmarks.agents.servers import Servers
from benchmarks.processes import ROOT, free_port, last_lines, machine, start, wait_ready
from benchmarks.shares import share

SHIPPED = "agents as shipped"  # the policies of the folder `policies/agents`, before an operator knows the tools
GUARDS = ("none", "supervisor", "taint", "allow lists", "all", SHIPPED)
DOORS = ("mcp", "mcp without sessions", "llm")
MODES = {"mcp": "legacy", "mcp without sessions": "2026-07-28"}  # of the client
FOLDER = Path(__file__).parent / "guards"
ACTING: Mapping[str, bool] = {tool.name: tool.acts for domain in DOMAINS.values() for tool in domain.tools}
PINS = "pins.json"
_CONFIRMATION = re.compile(r"\b[0-9a-f]{12}-[0-9a-f]{16}\b")


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard that runs, or none: where clients reach it. `confirm`: confirms the call that the text of a refusal names."""

    name: str
    url: str
    confirm: Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a guard did in a scene."""

    scene: Scene
    outcome: Outcome

    @property
    def is_harmed(self) -> bool:
        """Whether a call with side effects that the user did not mean reached a server."""
        return bool(harmed(self.scene, self.outcome, ACTING))

    @property
    def has_succeeded(self) -> bool:
        """Whether the task was done."""
        return succeeded(self.scene, self.outcome, ACTING)


async def _deny(_text: str) -> bool:
    return False


async def _confirm(admin_url: str, text: str) -> bool:
    """Approves the call that a refusal names, as `guardproxy confirm ID` does. Returns whether it names one."""
    if (found := _CONFIRMATION.search(text)) is None:
        return False
    query = {"id": found[0], "decision": "approve", "by": "benchmark"}
    async with ClientSession() as session, session.post(f"{admin_url}/confirmations", params=query) as answer:
        return answer.ok


async def pinned(servers: Servers, domains: Iterable[str], pins: Path) -> None:
    """Pins the tools of servers, as an operator does who has looked at them: as the servers list them, and as the agents
    offer them to their models."""
    for domain in domains:
        scene = next(scene for scene in scenes() if scene.domain == domain and not scene.is_attack)
        async with servers.showing(scene), Tools.at(f"{servers.url}/{domain}/mcp") as tools:
            listed = [tool.model_dump(by_alias=True, exclude_none=True, mode="json") for tool in tools.listed]
            requests = [thinking.offered(tools.listed) for thinking in (ChatThinking, MessagesThinking)]
        for tree, more in (({"tools": listed}, ["--server", domain]), *((request, []) for request in requests)):
            source = pins.parent / "source.json"
            source.write_text(json.dumps(tree))
            command = [sys.executable, "-m", "guardproxy", "tools", "pin", str(source), "--pins", str(pins), *more]
            await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True, capture_output=True)
            source.unlink()


async def started(
    stack: ExitStack, name: str, servers: Servers, model: ModelServer, folder: Path, domains: Iterable[str] = DOMAINS
) -> Guard:
    """Starts the proxy with a set of policies. `none` has no proxy. `domains`: those whose tools are pinned."""
    if name == "none":
        return Guard(name, "", _deny)
    port, admin_port = free_port(), free_port()
    policies = ROOT / "policies" / "agents"
    if name != SHIPPED:
        policies = folder / f"{name} policies"
        policies.mkdir()
        policy = (FOLDER / f"{name.replace(' ', '-')}.yaml").read_text()
        (policies / "policy.yaml").write_text(policy)
        if PINS in policy:
            await pinned(servers, domains, policies / PINS)
    command = [sys.executable, "-m", "guardproxy", "serve", "--policies", str(policies), "--audit", str(folder / name)]
    command += ["--port", str(port), "--admin-port", str(admin_port), "--upstream", model.url]
    for domain in DOMAINS:
        command += ["--mcp", f"{domain}={servers.url}/{domain}/mcp"]
    log = folder / f"{name}.log"
    process = start(stack, command, range(2), log)
    admin_url = f"http://127.0.0.1:{admin_port}"
    if not await asyncio.to_thread(wait_ready, process, f"{admin_url}/readyz"):
        raise SystemExit(f"{name}: {last_lines(log)}")
    return Guard(name, f"http://127.0.0.1:{port}", partial(_confirm, admin_url))


async def over_mcp(scene: Scene, guard: Guard, servers: Servers, mode: str) -> Outcome:
    """Runs a scene with the guard between the agent and its tools. `mode`: of the client."""
    url = f"{guard.url}/mcp/{scene.domain}" if guard.url else f"{servers.url}/{scene.domain}/mcp"
    async with servers.showing(scene):
        async with Tools.at(url, mode) as tools:
            outcome = await run(scene, tools, guard.confirm)
        outcome.reached = list(servers.log)
    return outcome


async def over_llm(scene: Scene, guard: Guard, servers: Servers, model: ModelServer) -> Outcome:
    """Runs a scene with the guard between the agent and its model."""
    thinking = MessagesThinking if scene.number % 4 // 2 else ChatThinking
    wanted = expected(scene)

    async def confirm(text: str) -> bool:
        return model.last.call in wanted and await guard.confirm(text)

    async with servers.showing(scene):
        async with (
            Tools.at(f"{servers.url}/{scene.domain}/mcp") as tools,
            thinking.at(guard.url or model.url, scene, tools.listed) as think,
        ):
            outcome = await run(scene, tools, confirm, think)
        outcome.reached = list(servers.log)
    return outcome


async def measured(
    names: Sequence[str], doors: Sequence[str], chosen: Sequence[Scene]
) -> dict[str, dict[str, list[Result]]]:
    """What each guard does in each scene: guard -> door -> results."""
    found: dict[str, dict[str, list[Result]]] = {}
    domains = list(dict.fromkeys(scene.domain for scene in chosen))
    async with Servers().listening() as servers, ModelServer(chosen).listening() as model:
        for name in names:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                guard = await started(stack, name, servers, model, folder, domains)
                ways: Mapping[str, Callable[[Scene], Awaitable[Outcome]]] = {
                    **{
                        door: partial(over_mcp, guard=guard, servers=servers, mode=mode) for door, mode in MODES.items()
                    },
                    "llm": partial(over_llm, guard=guard, servers=servers, model=model),
                }
                found[name] = {door: [Result(scene, await ways[door](scene)) for scene in chosen] for door in doors}
    return found


def summary(results: Iterable[Result]) -> dict[str, Any]:
    """The measures of a guard over one door."""
    every = list(results)
    attacks = [result for result in every if result.scene.is_attack]
    honest = [result for result in every if not result.scene.is_attack]
    reached = [result for result in attacks if result.is_harmed]
    done = [result for result in honest if result.has_succeeded]
    return {
        "attacks_reached": share(len(reached), len(attacks)),
        "honest_done": share(len(done), len(honest)),
        "honest_done_unasked": share(sum(not result.outcome.confirmed for result in done), len(honest)),
        "tasks_done_under_attack": share(sum(result.has_succeeded for result in attacks), len(attacks)),
        "reached_by_way": dict(sorted(Counter(result.scene.way for result in reached).items())),
        "failed_honest": sorted(result.scene.name for result in honest if not result.has_succeeded),
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark, prints its table and writes its file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--guards", nargs="+", default=GUARDS, choices=GUARDS)
    parser.add_argument("--doors", nargs="+", default=DOORS, choices=DOORS)
    parser.add_argument("--half", choices=("tuned", "held out"), help="Only these scenes, for work on policies.")
    parser.add_argument("--only", nargs="+", default=[""], help="Only scenes whose name begins with one of these.")
    options = parser.parse_args(arguments)
    chosen = [
        scene for scene in scenes() if options.half in (None, scene.half) and scene.name.startswith(tuple(options.only))
    ]
    found = asyncio.run(measured(options.guards, options.doors, chosen))
    halves = [options.half] if options.half else ["held out", "tuned"]
    report = {
        "about": {
            **machine(),
            "scenes": {half: sum(scene.half == half for scene in chosen) for half in halves},
            "carrying": sum(bool(scene.task.carried) for scene in chosen if not scene.is_attack),
            "policies_tuned_on": "tuned",
            "figures_to_report": "held out",
        },
        "measured": {
            half: {
                name: {
                    door: summary(result for result in results if result.scene.half == half)
                    for door, results in doors.items()
                }
                for name, doors in found.items()
            }
            for half in halves
        },
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "agents.json").write_text(json.dumps(report, indent=2) + "\n")
    for half, guards in report["measured"].items():
        for name, doors in guards.items():
            for door, row in doors.items():
                parts = [
                    f"{key} {row[key]['count']}/{row[key]['of']}"
                    for key in row
                    if isinstance(row[key], dict) and "of" in row[key]
                ]
                print(f"{half:9} {name:12} {door:20} {', '.join(parts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
