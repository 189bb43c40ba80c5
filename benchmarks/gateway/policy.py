"""What policies cost a message once its texts are scanned: choosing the policies, and judging four findings.

Run `python -m benchmarks.gateway.policy --out DIR [--peers PYTHON]`: prints a table, writes `policy.json` and `policy.png` to
DIR. Ten rules make a policy; a rule asks for one of twenty checks or two of them; in a third of the runs every policy has a
condition of its own in CEL, in another a `match` by model and tenant. Compared, on the same rules and messages, in turns: a
loop over the rules in plain Python; one CEL expression a rule; where PYTHON names an interpreter that has them, Cedar
(`cedarpy`) and `casbin`. All of them must come to the same decision for every message, or the run fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.findings import Channel, Finding
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.deciding.tally import Tally
from guardproxy.policy.file.load import build_checks, parse_all
from guardproxy.policy.values.actions import ACTIONS

SIZES = (1, 10, 100, 1000)
CHECKS = 20
CHANNEL = Channel("request", "user", "messages[0].content")
HEADS = {
    "no match": "",
    "models and tenants": 'match: {models: ["gpt-*", "m%s"], tenants: ["acme*"]}\n',
    "CEL": 'match: {when: \'tenant.name != "t%s" && request.model.startsWith("gpt-")\'}\n',
}
Judge = Callable[[tuple[str, ...]], str]


def rules(count: int) -> list[dict[str, Any]]:
    """Rules as plain values: `when` is a list of checks, joined by `how`."""
    random = Random(count)
    out = []
    for number in range(count):
        names = [f"w{one}" for one in sorted(random.sample(range(CHECKS), random.choice((1, 2))))]
        action = random.choice(("flag", "flag", "redact", "block"))
        how = "or" if action == "redact" else random.choice(("and", "or"))
        out.append({"id": f"r{number}", "when": names, "how": how, "action": action})
    return out


def messages(count: int) -> list[tuple[str, ...]]:
    """What was found in each: four checks."""
    random = Random(1)
    return [tuple(f"w{one}" for one in random.sample(range(CHECKS), 4)) for _ in range(count)]


def ours(chosen: list[dict[str, Any]], head: str) -> Judge:
    """guardproxy's own way, from the request to the strongest decision."""
    checks = ", ".join(f"w{one}: {{use: pattern, words: [word{one}]}}" for one in range(CHECKS))
    wanted = {one["id"]: f" {one['how']} ".join(one["when"]) for one in chosen}
    files = []
    for at in range(0, len(chosen), 10):
        lines = "".join(
            f"  - {{id: {one['id']}, on: request, when: {wanted[one['id']]}, action: {one['action']}}}\n"
            for one in chosen[at : at + 10]
        )
        files.append(
            (f"p{at}.yaml", f"policy: p{at}\n{head.replace('%s', str(at))}checks: {{{checks}}}\nrules:\n{lines}")
        )
    policies = parse_all(files)
    it = PolicySet(policies, build_checks(policies, Resources()), "")

    def judge(found: tuple[str, ...]) -> str:
        about = About("POST /v1/chat/completions", "gpt-5", "acme-1")
        bound = it.bind(about.route, about.model, about.tenant, "", about)
        bound.checks_for(CHANNEL)
        tally, strongest = Tally(bound), 0
        for number, name in enumerate(found):
            finding = Finding(number, number + 1, name, "MATCH", 1.0)
            if tally.see(CHANNEL, finding):
                strongest = 3
            if bound.edit(CHANNEL, finding):
                strongest = max(strongest, 1)
        return ACTIONS[strongest]

    return judge


def loop(chosen: list[dict[str, Any]]) -> Judge:
    """The rules one after the other."""

    def judge(found: tuple[str, ...]) -> str:
        present, strongest = set(found), 0
        for rule in chosen:
            names = rule["when"]
            if all(one in present for one in names) if rule["how"] == "and" else any(one in present for one in names):
                strongest = max(strongest, ACTIONS.index(rule["action"]))
        return ACTIONS[strongest]

    return judge


def cel(chosen: list[dict[str, Any]]) -> Judge:
    """One expression a rule."""
    from cel_expr_python import cel as library

    names = {f"w{one}": library.Type.BOOL for one in range(CHECKS)}
    environment = library.NewEnv(variables=names)
    compiled = [
        (
            environment.compile((" && " if rule["how"] == "and" else " || ").join(rule["when"])),
            ACTIONS.index(rule["action"]),
        )
        for rule in chosen
    ]

    def judge(found: tuple[str, ...]) -> str:
        activation = environment.Activation({name: name in found for name in names})
        return ACTIONS[max((rank for one, rank in compiled if one.eval(activation).plain_value()), default=0)]

    return judge


def timed(judges: dict[str, Judge], asked: list[tuple[str, ...]], rounds: int) -> dict[str, float]:
    """Microseconds of processor time a message, the median of rounds in which the candidates take turns."""
    said = {name: [judge(found) for found in asked] for name, judge in judges.items()}
    first = next(iter(said.values()))
    if any(one != first for one in said.values()):
        raise SystemExit(f"the candidates do not agree: {sorted(said)}")
    took: dict[str, list[float]] = {name: [] for name in judges}
    for _ in range(rounds):
        for name, judge in judges.items():
            began = time.process_time()
            for found in asked:
                judge(found)
            took[name].append((time.process_time() - began) * 1e6 / len(asked))
    return {name: statistics.median(each) for name, each in took.items()}


def peers(python: str, asked: list[tuple[str, ...]], expected: dict[int, list[str]]) -> dict[str, dict[str, float]]:
    """What `peers/policy_peers.py` measures with another interpreter."""
    task = {str(size): {"rules": rules(size), "messages": asked, "expected": expected[size]} for size in SIZES}
    script = Path(__file__).parents[1] / "peers" / "policy_peers.py"
    done = subprocess.run([python, str(script)], input=json.dumps(task), capture_output=True, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def draw(table: dict[str, dict[str, float]], path: Path) -> None:
    """Writes a PNG: one line a candidate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, by_size in table.items():
        own = name.startswith("guardproxy")
        axis.plot(
            [int(size) for size in by_size],
            list(by_size.values()),
            marker="o",
            linewidth=2 if own else 1,
            linestyle="-" if own else "--",
            label=name,
        )
    axis.axhline(100, color="#9aa4b2", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("rules")
    axis.set_title("microseconds of processor time a message with four findings", fontsize=10, loc="left")
    axis.legend(fontsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for policy.json and policy.png")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--peers", help="a Python that has cedarpy and casbin")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    asked = messages(args.messages)
    table: dict[str, dict[str, float]] = {}
    expected: dict[int, list[str]] = {}
    for size in SIZES:
        chosen = rules(size)
        judges = {f"guardproxy, {name}": ours(chosen, head) for name, head in HEADS.items()}
        judges |= {"a loop in Python": loop(chosen), "one CEL expression a rule": cel(chosen)}
        expected[size] = [judges["a loop in Python"](found) for found in asked]
        for name, took in timed(judges, asked, args.rounds).items():
            table.setdefault(name, {})[str(size)] = round(took, 2)
    if args.peers:
        table |= peers(args.peers, asked, expected)
    draw(table, args.out / "policy.png")
    about = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "findings_a_message": 4,
        "rules_a_policy": 10,
    }
    found = {"about": about, "microseconds_a_message": table}
    (args.out / "policy.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, by_size in table.items():
        print(f"{name:34}" + "".join(f"{size:>6} rules {took:9.1f} us" for size, took in by_size.items()))


if __name__ == "__main__":
    main()
