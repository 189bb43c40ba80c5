"""Values of stored turns with the official SDK: they come back to the client that gave them, whole and in streams, and only as
long as something keeps them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.record.versions import entries_of
from guardproxy.replay import replay
from tests.kit.stored_turns import POLICY, Rig, StoringUpstream, turns
from tests.kit.valkey import relayed, valkey

MAIL, OTHER = "ada@clinic.example", "bob@clinic.example"
TOKEN = "[EMAIL_ADDRESS_"


def records(folder: Path) -> list[Any]:
    return [json.loads(row) for path in folder.glob("audit/*.jsonl") for row in path.read_text().splitlines()]


@pytest.mark.parametrize("seal_ids", ["off", "on"])
@pytest.mark.parametrize("way", ["ask", "stream"])
async def test_values_of_earlier_turns_come_back(tmp_path: Path, way: str, seal_ids: str) -> None:
    async with turns(tmp_path, seal_ids=seal_ids) as rig:
        say = getattr(rig, way)
        first, said = await say(f"my mail is {MAIL}")
        assert MAIL in said
        second, said = await say("what is my mail?", previous_response_id=first)
        assert said == f"my mail is {MAIL} | what is my mail?"
        third, said = await say(f"and of my friend {OTHER}?", previous_response_id=second)
        assert said == f"my mail is {MAIL} | what is my mail? | and of my friend {OTHER}?"
        _, said = await say("all?", previous_response_id=third)
        assert (MAIL in said, OTHER in said) == (True, True)
        _, branch = await say("and in this branch?", previous_response_id=second)
        assert (MAIL in branch, TOKEN in branch) == (True, False)
        assert not any(MAIL in text or OTHER in text for text in rig.upstream.seen)
        entries = list(entries_of(tmp_path / "audit" / "audit-0.jsonl"))
        results = [replay(entry, rig.server.policies) for entry in entries if hasattr(entry, "earlier")]  # type: ignore[arg-type]
        assert [result.verdict for result in results] == ["identical"] * 5
    assert "clinic" not in json.dumps(records(tmp_path))


async def test_a_conversation_has_the_values_of_its_turns_until_it_is_deleted(tmp_path: Path) -> None:
    async with turns(tmp_path, seal_ids="on") as rig:
        name = (await rig.client().conversations.create()).id
        await rig.ask(f"my mail is {MAIL}", conversation=name)
        await rig.stream(f"my other mail is {OTHER}", conversation={"id": name})
        _, said = await rig.stream("which?", conversation=name)
        assert (MAIL in said, OTHER in said, TOKEN in said) == (True, True, False)
        told = dict(rig.upstream.told)
        await rig.client().conversations.delete(name)
        rig.upstream.told = told  # a provider that still has it
        _, said = await rig.ask("which?", conversation=name)
        assert (MAIL in said, OTHER in said, said.count(TOKEN)) == (False, False, 2)


async def test_a_deleted_answer_gives_no_values(tmp_path: Path) -> None:
    async with turns(tmp_path, seal_ids="on") as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        second, _ = await rig.ask("so?", previous_response_id=first)
        told = dict(rig.upstream.told)
        await rig.client().responses.delete(first)
        rig.upstream.told = told
        assert TOKEN in (await rig.ask("which?", previous_response_id=first))[1]
        assert MAIL in (await rig.ask("which?", previous_response_id=second))[1]


@pytest.mark.parametrize("scope", ["client", "tenant"])
async def test_another_credential_gets_placeholders(tmp_path: Path, scope: str) -> None:
    async with turns(tmp_path, seal_ids="accept", seal_ids_scope=scope) as rig:
        await rig.ask(f"my mail is {MAIL}")
        plain = next(iter(rig.upstream.told))  # the id of the provider, which everybody may guess
        for way in (rig.ask, rig.stream):
            _, said = await way("what is the mail?", "two", previous_response_id=plain)
            assert (MAIL in said, TOKEN in said) == (False, True)
        for forged in (plain[:-1], plain + "0", plain.upper(), "resp_"):
            rig.upstream.told.setdefault(forged, rig.upstream.told[plain])
            said = await _said(rig, forged)
            assert MAIL not in said


async def _said(rig: Rig, name: str) -> str:
    try:
        return (await rig.ask("what is the mail?", previous_response_id=name))[1]
    except Exception as error:  # an id that is none
        return str(error)


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        (POLICY.replace("restore: true", "restore: false"), {}),
        (POLICY, {"keep_turns_s": 0.0}),
        (POLICY, {"limit_turns_bytes": 0}),
    ],
)
async def test_nothing_comes_back_where_nothing_is_kept(tmp_path: Path, policy: str, settings: Any) -> None:
    async with turns(tmp_path, policy=policy, **settings) as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        _, said = await rig.ask("what is it?", previous_response_id=first)
        assert (MAIL in said, TOKEN in said) == (False, True)


async def test_the_values_of_a_client_that_left_are_kept(tmp_path: Path) -> None:
    async with turns(tmp_path) as rig:
        rig.upstream.cut_bytes, rig.upstream.goes_on = 3000, asyncio.Event()
        async with await rig.client().responses.create(model="m", input=f"my mail is {MAIL}", stream=True) as stream:
            async for event in stream:
                assert event.type == "response.created"
                first = event.response.id
                break
        rig.upstream.goes_on.set()
        said = ""
        async with asyncio.timeout(60):
            while MAIL not in said:  # the proxy learns of the end of a connection later than the client
                _, said = await rig.ask("what is it?", previous_response_id=first)
    assert "client_closed" in [record.get("outcome") for record in records(tmp_path)]


async def test_a_turn_that_is_not_stored_keeps_nothing(tmp_path: Path) -> None:
    async with turns(tmp_path) as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}", store=False)
        assert TOKEN in (await rig.ask("what is it?", previous_response_id=first))[1]


async def test_a_stricter_policy_holds_for_values_of_before(tmp_path: Path) -> None:
    async with turns(tmp_path) as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        (tmp_path / "policies" / "policy.yaml").write_text(POLICY.replace("restore: true", "restore: false"))
        assert (await rig.server.reload())["ok"]
        assert TOKEN in (await rig.ask("what is it?", previous_response_id=first))[1]
        (tmp_path / "policies" / "policy.yaml").write_text(
            POLICY.replace("restore: true", "restore: {in: [assistant]}")
        )
        assert (await rig.server.reload())["ok"]
        assert MAIL in (await rig.ask("what is it?", previous_response_id=first))[1]


@pytest.mark.parametrize("mode", ["exact", "semantic"])
async def test_a_cached_answer_restores_only_values_of_the_client_that_asks(tmp_path: Path, mode: str) -> None:
    policy = f"{POLICY}cache: {{mode: {mode}, scope: tenant, ttl_s: 60}}\n"
    async with turns(tmp_path, policy=policy) as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        for key, times in (("one", 2), ("two", 2)):
            for _ in range(times):
                _, said = await rig.ask("what is it?", key, previous_response_id=first)
                assert (MAIL in said, TOKEN in said) == (key == "one", key == "two")
        assert len(rig.upstream.seen) == 3
        again, _ = await rig.ask(f"my mail is {MAIL}")  # from the cache, with the id of the first answer
        assert again == first
        assert MAIL in (await rig.ask("what is it?", previous_response_id=again))[1]


async def test_workers_and_a_restart_share_what_the_state_keeps(tmp_path: Path) -> None:
    upstream = StoringUpstream()
    with valkey(tmp_path) as url:
        async with (
            turns(tmp_path / "a", upstream, state=url) as here,
            turns(tmp_path / "b", upstream, state=url) as there,
            turns(tmp_path / "c", upstream, state=url, key="another key, after a rotation") as rotated,
        ):
            first, _ = await here.ask(f"my mail is {MAIL}")
            second, said = await there.stream("what is it?", previous_response_id=first)
            assert MAIL in said
            assert TOKEN in (await rotated.ask("what is it?", previous_response_id=first))[1]
        async with turns(tmp_path / "a", upstream, state=url) as restarted:
            assert MAIL in (await restarted.ask("what is it?", previous_response_id=second))[1]


@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_while_the_state_is_away_the_client_gets_placeholders(tmp_path: Path, fault: str) -> None:
    with valkey(tmp_path) as url, relayed(tmp_path / "relay.sock", url) as set_fault:
        async with turns(tmp_path, state=f"unix://{tmp_path / 'relay.sock'}") as rig:
            first, _ = await rig.ask(f"my mail is {MAIL}")
            set_fault(fault)
            lost, said = await rig.ask(f"and {OTHER}", previous_response_id=first)
            assert (MAIL in said, OTHER in said) == (False, True)
            set_fault("none")
            said = ""
            async with asyncio.timeout(60):
                while MAIL not in said:
                    _, said = await rig.ask("what is it?", previous_response_id=first)
            said = (await rig.ask("what are they?", previous_response_id=lost))[1]
            assert (MAIL in said, OTHER in said, said.count(TOKEN)) == (False, False, 2)


async def test_placeholders_that_the_model_changed_are_counted(tmp_path: Path) -> None:
    async with turns(tmp_path) as rig:
        rig.upstream.say = lambda told: " ".join(told).lower()
        first, _ = await rig.ask(f"my mail is {MAIL}")
        await rig.stream("what is it?", previous_response_id=first)
        rig.server._observers.close()
        count = rig.server.metrics.registry.get_sample_value(
            "guardproxy_altered_placeholders_total", {"label": "EMAIL_ADDRESS"}
        )
        assert count == 2
    assert [record["altered"] for record in records(tmp_path) if record.get("altered")] == [{"EMAIL_ADDRESS": 1}] * 2
