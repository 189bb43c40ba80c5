"""The rules of `gateway/policy.py` in other policy engines; run by it with an interpreter that has `cedarpy` and `casbin`.

In, on standard input: for each number of rules the rules, the messages, and the decisions that are right. Out: microseconds a
message, by engine. Neither has decisions of several strengths, so each action is asked about, the strongest first, and neither
tells of all rules that hold: casbin stops at the first.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

ACTIONS = ("block", "redact", "flag")
ROUNDS = 3


def cedar(rules: list[dict[str, Any]]) -> Callable[[list[str]], str]:
    import cedarpy

    def condition(rule: dict[str, Any]) -> str:
        return (" && " if rule["how"] == "and" else " || ").join(
            f'context.found.contains("{one}")' for one in rule["when"]
        )

    text = "\n".join(
        f'permit(principal, action == Action::"{rule["action"]}", resource) when {{ {condition(rule)} }};'
        for rule in rules
    )
    policies = cedarpy.PolicySet.from_str(text)
    entities = cedarpy.Entities.from_json_str("[]")

    def judge(found: list[str]) -> str:
        for action in ACTIONS:
            request = {
                "principal": 'User::"a"',
                "action": f'Action::"{action}"',
                "resource": 'Text::"t"',
                "context": {"found": found},
            }
            if cedarpy.is_authorized(request, policies, entities).allowed:
                return action
        return "flag"

    return judge


def casbin(rules: list[dict[str, Any]]) -> Callable[[list[str]], str]:
    import casbin as library

    model = library.Model()
    model.load_model_from_text(
        "[request_definition]\nr = found, act\n[policy_definition]\np = how, names, act\n"
        "[policy_effect]\ne = some(where (p.eft == allow))\n"
        "[matchers]\nm = r.act == p.act && holds(r.found, p.how, p.names)\n"
    )
    enforcer = library.Enforcer(model)
    enforcer.add_function(
        "holds",
        lambda found, how, names: (all if how == "and" else any)(one in found for one in names.split("+")),
    )
    enforcer.add_policies([[rule["how"], "+".join(rule["when"]) + "", rule["action"]] for rule in rules])

    def judge(found: list[str]) -> str:
        return next((action for action in ACTIONS if enforcer.enforce(found, action)), "flag")

    return judge


def main() -> None:
    table: dict[str, dict[str, float]] = {}
    for size, task in json.load(sys.stdin).items():
        for name, engine in (("Cedar (cedarpy)", cedar), ("casbin", casbin)):
            asked = task["messages"] if name != "casbin" or int(size) <= 100 else task["messages"][:5]
            judge = engine(task["rules"])
            said = [judge(found) for found in asked]
            if said != task["expected"][: len(asked)]:
                sys.exit(f"{name} does not agree")
            took = []
            for _ in range(ROUNDS):
                began = time.process_time()
                for found in asked:
                    judge(found)
                took.append((time.process_time() - began) * 1e6 / len(asked))
            table.setdefault(name, {})[size] = round(statistics.median(took), 2)
    print(json.dumps(table))


if __name__ == "__main__":
    main()
