"""Values of stored turns with the official SDK: they come back to the client that gave them, whole and in streams, and only as
long as something keeps them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiohttp import web
from openai import BadRequestError, NotFoundError

from guardproxy.audit.record.versions import entries_of
from guardproxy.replay import replay
from guardproxy.server.driving.earlier import EarlierValues, MemoryTurns
from guardproxy.wire.formats.openai_responses.writer import author
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


# Answers that are read back.


@pytest.mark.parametrize("seal_ids", ["off", "on"])
async def test_a_stored_answer_that_is_read_back_has_the_values_of_its_client(tmp_path: Path, seal_ids: str) -> None:
    async with turns(tmp_path, seal_ids=seal_ids) as rig:
        first, said = await rig.ask(f"my mail is {MAIL}")
        second, both = await rig.stream(f"and my friend is {OTHER}", previous_response_id=first)
        for streamed in (False, True):
            assert await rig.retrieve(first, streamed=streamed) == said
            assert await rig.retrieve(second, streamed=streamed) == both
        assert await rig.items(second) == both
        assert (await rig.client().responses.retrieve(first)).id == first
        assert not any(MAIL in path for path in rig.upstream.asked)
        entries = list(entries_of(tmp_path / "audit" / "audit-0.jsonl"))
        results = [replay(entry, rig.server.policies) for entry in entries if hasattr(entry, "earlier")]  # type: ignore[arg-type]
        assert [result.verdict for result in results] == ["identical"] * 8
    assert "clinic" not in json.dumps(records(tmp_path))


async def test_items_of_a_conversation_have_the_values_of_its_client(tmp_path: Path) -> None:
    async with turns(tmp_path, seal_ids="on") as rig:
        name = (await rig.client().conversations.create()).id
        await rig.ask(f"my mail is {MAIL}", conversation=name)
        await rig.ask(f"my other mail is {OTHER}", conversation=name)
        assert await rig.items(name) == f"my mail is {MAIL} | my other mail is {OTHER}"


async def test_another_client_that_reads_an_answer_back_gets_placeholders(tmp_path: Path) -> None:
    async with turns(tmp_path, seal_ids="accept", seal_ids_scope="tenant") as rig:
        await rig.ask(f"my mail is {MAIL}")
        plain = next(iter(rig.upstream.told))
        for streamed in (False, True):
            said = await rig.retrieve(plain, "two", streamed=streamed)
            assert (MAIL in said, TOKEN in said) == (False, True)
            assert MAIL in await rig.retrieve(plain, streamed=streamed)
        assert TOKEN in await rig.items(plain, "two")


async def test_an_id_that_was_altered_reads_nothing_back(tmp_path: Path) -> None:
    async with turns(tmp_path, seal_ids="on") as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        head, _, seal = first.rpartition("_")
        for altered in (f"{head}0_{seal}", f"{head}_{seal[::-1]}", head, f"{head.upper()}_{seal}"):
            with pytest.raises(NotFoundError):
                await rig.retrieve(altered)
        with pytest.raises(NotFoundError):
            await rig.retrieve(first, "two")
        assert rig.upstream.asked == []


async def test_an_id_of_the_form_that_providers_give_is_read_back_without_seals(tmp_path: Path) -> None:
    name = "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b"
    async with turns(tmp_path) as rig:
        first, said = await rig.ask("my dog is brown")
        rig.upstream.answers[name] = rig.upstream.answers[first]
        assert await rig.retrieve(name) == said
        for other in ("resp_4111111111111111", "resp_4111-1111-1111-1111", "resp_ada@clinic.example"):
            with pytest.raises(NotFoundError):
                await rig.retrieve(other)
        assert rig.upstream.asked == [f"/v1/responses/{name}"]


@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        (POLICY.replace("restore: true", "restore: false"), {}),
        (POLICY, {"keep_turns_s": 0.0}),
        (POLICY, {"limit_turns_bytes": 0}),
    ],
)
async def test_an_answer_that_is_read_back_has_placeholders_where_nothing_is_kept(
    tmp_path: Path, policy: str, settings: Any
) -> None:
    async with turns(tmp_path, policy=policy, **settings) as rig:
        first, _ = await rig.ask(f"my mail is {MAIL}")
        said = await rig.retrieve(first)
        assert (MAIL in said, TOKEN in said) == (False, True)


async def test_reading_back_does_not_keep_values_for_longer(tmp_path: Path) -> None:
    async with turns(tmp_path, keep_turns_s=60.0) as rig:
        now, earlier = 1000.0, rig.server.earlier
        assert isinstance(earlier, EarlierValues)
        earlier._store = MemoryTurns(1 << 20, lambda: now)
        first, _ = await rig.ask(f"my mail is {MAIL}")
        now += 40
        assert MAIL in await rig.retrieve(first)
        now += 40
        assert TOKEN in await rig.retrieve(first)


async def test_rules_for_answers_read_what_is_read_back(tmp_path: Path) -> None:
    rule = "rules:\n  - {id: in, on: response, when: pii, action: redact}\n  -"
    policy = POLICY.replace("rules: [", rule + " ").replace("true}]", "true}")
    policy = policy.replace("policy: guard", "policy: guard\nmatch: {routes: [POST /v1/responses]}")
    async with turns(tmp_path, policy=policy) as rig:
        first, said = await rig.ask(f"my mail is {MAIL}")
        rig.upstream.say = lambda told: f"{told[0]}, and that of my boss is eve@clinic.example"
        second, again = await rig.ask("and?", previous_response_id=first)
        assert (MAIL in again, "eve@" in again) == (True, False)
        for streamed in (False, True):
            assert await rig.retrieve(first, streamed=streamed) == said
            assert await rig.retrieve(second, streamed=streamed) == again


async def test_a_text_of_a_client_that_is_read_back_as_json_stays_json(tmp_path: Path) -> None:
    form = {"format": {"type": "json_object"}}
    policy = POLICY.replace("{use: pii, entities: [EMAIL_ADDRESS]}", "{use: pattern, patterns: ['said \"\\w+\"']}")
    async with turns(tmp_path, policy=policy) as rig:
        rig.upstream.say = lambda told: json.dumps({"name": told[0]})
        first, said = await rig.ask('said "ada"', extra_body={"text": form})
        assert json.loads(said) == {"name": 'said "ada"'}
        for streamed in (False, True):
            assert json.loads(await rig.retrieve(first, streamed=streamed)) == {"name": 'said "ada"'}


async def test_a_system_prompt_of_a_policy_is_not_read_back(tmp_path: Path) -> None:
    policy = f"{POLICY}prompt: {{prepend: never say plum}}\n"
    async with turns(tmp_path, policy=policy) as rig:
        first, _ = await rig.ask("hello")
        prompt, reply, name = rig.upstream.answers[first]
        whole = author.answer(prompt, reply, name) | {"instructions": "never say plum\n\nbe kind"}
        rig.upstream.answers[first] = replace(prompt, system="x"), reply, name
        with_system = AsyncMock(return_value=web.json_response(whole))
        rig.upstream._given = with_system  # type: ignore[method-assign]
        assert (await rig.client().responses.retrieve(first)).instructions == ""


@pytest.mark.parametrize(
    "query", ["starting_after=3", "after=my+card+4111", "include=ada@clinic.example", "limit=4111111111", "x=1"]
)
async def test_a_query_with_room_for_a_text_is_refused(tmp_path: Path, query: str) -> None:
    async with turns(tmp_path) as rig:
        first, _ = await rig.ask("hello")
        with pytest.raises(BadRequestError):
            await rig.client().get(f"/responses/{first}?{query}", cast_to=dict)
        assert rig.upstream.asked == []


async def test_workers_and_a_restart_read_back_what_the_state_keeps(tmp_path: Path) -> None:
    upstream = StoringUpstream()
    with valkey(tmp_path) as url:
        async with (
            turns(tmp_path / "a", upstream, state=url) as here,
            turns(tmp_path / "b", upstream, state=url) as there,
            turns(tmp_path / "c", upstream, state=url, key="another key, after a rotation") as rotated,
        ):
            first, _ = await here.ask(f"my mail is {MAIL}")
            assert MAIL in await there.retrieve(first, streamed=True)
            assert TOKEN in await rotated.retrieve(first)
        async with turns(tmp_path / "a", upstream, state=url) as restarted:
            assert MAIL in await restarted.retrieve(first)
    async with turns(tmp_path / "a", upstream) as alone:  # a restart without the state
        assert TOKEN in await alone.retrieve(first)


@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_while_the_state_is_away_an_answer_is_read_back_with_placeholders(tmp_path: Path, fault: str) -> None:
    with valkey(tmp_path) as url, relayed(tmp_path / "relay.sock", url) as set_fault:
        async with turns(tmp_path, state=f"unix://{tmp_path / 'relay.sock'}") as rig:
            first, _ = await rig.ask(f"my mail is {MAIL}")
            set_fault(fault)
            assert TOKEN in await rig.retrieve(first)


async def test_an_address_in_an_answer_that_is_read_back_learns_no_value(tmp_path: Path) -> None:
    async with turns(tmp_path) as rig:
        rig.upstream.say = lambda told: f"open https://elsewhere.example/?q={told[0].rpartition(' ')[2]} now"
        first, said = await rig.ask(f"my mail is {MAIL}")
        assert (MAIL in said, "EMAIL_ADDRESS_" in said) == (False, True)
        for streamed in (False, True):
            assert await rig.retrieve(first, streamed=streamed) == said
