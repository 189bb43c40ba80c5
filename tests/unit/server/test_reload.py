"""Reloading: real files, real links, looks made by hand."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from guardproxy.errors import ConfigError, PolicyError
from guardproxy.library import load
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.reload import TRIES, Reload, at_rest, contents

pytestmark = pytest.mark.heavy

POLICY = """\
policy: words
checks:
  words: {use: pattern, words: [%s]}
rules:
  - {id: no-words, on: request, when: words, action: block}
"""
BROKEN = POLICY.replace("action: block", "action: blokc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "policies"
    found.mkdir()
    (found / "words.yaml").write_text(POLICY % "one")
    return found


Start = Callable[..., Reload]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[Reload] = []

    def begin(folder: Path, how: Callable[[Path], PolicySet] = load) -> Reload:
        started.append(Reload(folder, lambda: how(folder), Metrics()))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def count(reload: Reload, name: str) -> float:
    return reload._metrics.registry.get_sample_value(f"guardproxy_{name}") or 0.0


def put(path: Path, text: str) -> None:
    """As careful editors do."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


async def looks(reload: Reload, count: int = 2) -> str:
    for _ in range(count):
        await reload.step()
    return reload.policies.digest


async def test_nothing_new_changes_nothing(folder: Path, start: Start) -> None:
    reload = start(folder)
    before = reload.policies
    await looks(reload, 3)
    assert reload.policies is before
    assert count(reload, "policy_reloads_total") == 0
    assert count(reload, "policy_last_reload_successful") == 1


@pytest.mark.parametrize("write", [put, Path.write_text], ids=["renamed", "in place"])
async def test_a_new_file_is_taken_at_the_second_look(
    write: Callable[[Path, str], None], folder: Path, start: Start
) -> None:
    reload = start(folder)
    before = reload.policies.digest
    write(folder / "words.yaml", POLICY % "two")
    assert await looks(reload, 1) == before
    assert await looks(reload, 1) == load(folder).digest != before
    assert count(reload, "policy_reloads_total") == 1
    assert reload._metrics.registry.get_sample_value("guardproxy_policy_info", {"digest": before}) is None
    now = {"digest": reload.policies.digest}
    assert reload._metrics.registry.get_sample_value("guardproxy_policy_info", now) == 1


async def test_a_change_that_keeps_size_and_times_is_seen(folder: Path, start: Start) -> None:
    reload = start(folder)
    path = folder / "words.yaml"
    about = path.stat()
    path.write_text(POLICY % "two")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    assert await looks(reload) == load(folder).digest


async def test_a_file_that_is_being_written_is_left_alone_until_it_rests(folder: Path, start: Start) -> None:
    reload = start(folder)
    before, path, text = reload.policies.digest, folder / "words.yaml", POLICY % "two"
    for end in range(0, len(text), 20):
        path.write_text(text[:end])
        assert await looks(reload, 1) == before
    path.write_text(text)
    assert await looks(reload, 1) == before
    assert await looks(reload, 1) == load(folder).digest
    assert count(reload, "policy_reload_failures_total") == 0


async def test_a_swapped_config_map_is_seen(tmp_path: Path, start: Start) -> None:
    """As the kubelet does it: files are links through `..data`, which is a link to a folder with a time in its name."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def publish(name: str, word: str) -> None:
        (folder / name).mkdir()
        (folder / name / "words.yaml").write_text(POLICY % word)
        (folder / "..data_tmp").symlink_to(name)
        (folder / "..data_tmp").rename(folder / "..data")

    publish("..2026_11_25_10_00", "one")
    (folder / "words.yaml").symlink_to("..data/words.yaml")
    reload = start(folder)
    before = reload.policies.digest
    publish("..2026_11_25_10_05", "two")
    shutil.rmtree(folder / "..2026_11_25_10_00")
    after = await looks(reload)
    assert after == load(folder).digest != before
    assert not reload.errors


async def test_files_come_and_go(folder: Path, start: Start) -> None:
    reload = start(folder)
    (folder / "more.yml").write_text((POLICY % "two").replace("policy: words", "policy: more"))
    await looks(reload)
    assert [policy.name for policy in reload.policies.policies] == ["more", "words"]
    (folder / "words.yaml").unlink()
    await looks(reload)
    assert [policy.name for policy in reload.policies.policies] == ["more"]


async def test_a_named_file_in_a_subfolder_counts(folder: Path, start: Start) -> None:
    (folder / "schemas").mkdir()
    (folder / "schemas" / "order.json").write_text('{"type": "object"}')
    (folder / "words.yaml").write_text(
        "policy: shape\nchecks:\n  shape: {use: json_schema, schema: {file: schemas/order.json}}\n"
        "rules:\n  - {id: shape, on: response, when: shape, action: block}\n"
    )
    reload = start(folder)
    before = reload.policies.digest
    put(folder / "schemas" / "order.json", '{"type": "array"}')
    assert await looks(reload) != before


async def test_a_backup_of_an_editor_is_no_reload(folder: Path, start: Start) -> None:
    reload = start(folder)
    (folder / "words.yaml~").write_text("half a pol")
    (folder / ".words.yaml.swp").write_bytes(b"\0")
    await looks(reload)
    assert count(reload, "policy_reloads_total") == 0
    assert not reload.errors


async def test_a_bad_file_keeps_the_old_set_and_says_where(
    folder: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    reload = start(folder)
    before = reload.policies
    put(folder / "words.yaml", BROKEN % "two")
    await looks(reload, 5)
    assert reload.policies is before
    (error,) = reload.errors
    assert (error.path, error.line, error.column) == (str(folder / "words.yaml"), 5, 54)
    assert "did you mean `block`?" in error.message
    assert count(reload, "policy_reload_failures_total") == 1, "the same content is tried once"
    assert count(reload, "policy_last_reload_successful") == 0
    (logged,) = [one for one in caplog.records if one.message == "policies not reloaded"]
    assert (logged.line, logged.column, logged.in_force) == (5, 54, before.digest)  # type: ignore[attr-defined]
    put(folder / "words.yaml", POLICY % "one")
    assert await looks(reload) == before.digest
    assert not reload.errors
    assert count(reload, "policy_last_reload_successful") == 1


async def test_a_folder_that_goes_away_keeps_the_old_set(folder: Path, start: Start) -> None:
    reload = start(folder)
    before = reload.policies
    os.rename(folder, folder.with_name("elsewhere"))
    await looks(reload)
    assert reload.policies is before
    assert "cannot read the policy folder" in str(reload.errors[0])
    os.rename(folder.with_name("elsewhere"), folder)
    await looks(reload)
    assert not reload.errors


@pytest.mark.parametrize(
    ("raised", "said"),
    [(ConfigError("no such model"), "no such model"), (RuntimeError("broken"), "RuntimeError: broken")],
)
async def test_whatever_loading_raises_keeps_the_old_set(
    raised: Exception, said: str, folder: Path, start: Start
) -> None:
    trouble: list[Exception] = []

    def how(folder: Path) -> PolicySet:
        if trouble:
            raise trouble[0]
        return load(folder)

    reload = start(folder, how)
    trouble.append(raised)
    before = reload.policies
    assert not await reload.now()
    assert reload.policies is before
    assert said in str(reload.errors[0])
    trouble.clear()
    assert await reload.now()
    assert not reload.errors


def test_there_is_no_start_with_a_bad_file(folder: Path) -> None:
    (folder / "words.yaml").write_text(BROKEN % "one")
    with pytest.raises(PolicyError, match="did you mean `block`"):
        Reload(folder, lambda: load(folder), Metrics())


def test_what_changes_while_it_is_loaded_is_loaded_again(folder: Path) -> None:
    """Half of the old files and half of the new ones are no set that anybody wrote."""
    loads: list[str] = []

    def how() -> PolicySet:
        found = load(folder)
        loads.append(found.digest)
        if len(loads) == 1:
            put(folder / "words.yaml", POLICY % "two")
        return found

    loaded = at_rest(folder, how)
    assert len(loads) == 2
    assert loaded.policies
    assert loaded.policies.digest == load(folder).digest
    assert loaded.content == contents(folder)


def test_what_never_rests_is_given_up(folder: Path) -> None:
    loads: list[int] = []

    def how() -> PolicySet:
        put(folder / "words.yaml", POLICY % f"word{len(loads)}")
        loads.append(1)
        return load(folder)

    loaded = at_rest(folder, how)
    assert loaded.policies is None
    assert "keeps changing" in str(loaded.error)
    assert len(loads) == TRIES


async def test_an_order_loads_though_nothing_is_new_and_in_a_thread(folder: Path, start: Start) -> None:
    threads: list[str] = []

    def how(folder: Path) -> PolicySet:
        import threading

        threads.append(threading.current_thread().name)
        return load(folder)

    reload = start(folder, how)
    before = reload.policies
    assert await reload.now()
    assert reload.policies is not before
    assert reload.policies.digest == before.digest
    assert count(reload, "policy_reloads_total") == 0, "nothing is different"
    assert len(threads) == 2
    assert threads[1].startswith("reload")


async def test_an_old_set_is_freed_when_nobody_holds_it(folder: Path, start: Start) -> None:
    (folder / "words.yaml").write_text(POLICY % "seen-here-alone")
    reload = start(folder)
    running = reload.policies.bind("POST /v1/messages", "m", "")
    (check,) = reload.policies.checks.values()
    kind, digest = type(check), check.digest
    del check

    def alive() -> int:
        gc.collect()
        return sum(isinstance(one, kind) and one.digest == digest for one in gc.get_objects())

    put(folder / "words.yaml", POLICY % "two")
    await looks(reload)
    assert alive() == 1, "an exchange still uses it"
    del running
    assert alive() == 0


async def test_a_signal_is_answered_by_the_watch(folder: Path, start: Start) -> None:
    loaded = asyncio.Event()
    loop = asyncio.get_running_loop()
    times: list[int] = []

    def how(folder: Path) -> PolicySet:
        times.append(1)
        if len(times) > 1:
            loop.call_soon_threadsafe(loaded.set)
        return load(folder)

    reload = start(folder, how)
    watching = asyncio.create_task(reload.run(0))
    reload.ask()
    async with asyncio.timeout(10):
        await loaded.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_the_watch_looks_by_itself(folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    reload = start(folder)
    looked = asyncio.Event()

    async def step() -> None:
        looked.set()

    monkeypatch.setattr(reload, "step", step)
    watching = asyncio.create_task(reload.run(0.001))
    async with asyncio.timeout(10):
        await looked.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_a_fault_does_not_end_the_watch(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reload = start(folder)
    looked = asyncio.Event()
    looks: list[int] = []

    async def step() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("once")
        looked.set()

    monkeypatch.setattr(reload, "step", step)
    watching = asyncio.create_task(reload.run(0.001))
    async with asyncio.timeout(10):
        await looked.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert [one.error for one in caplog.records] == ["RuntimeError"]  # type: ignore[attr-defined]


async def test_a_named_file_of_a_config_map_is_read_through_its_links(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "mounted"
    (folder / "..one").mkdir(parents=True)
    (folder / "..one" / "order.json").write_text('{"type": "object"}')
    (folder / "..one" / "shape.yaml").write_text(
        "policy: shape\nchecks:\n  shape: {use: json_schema, schema: {file: order.json}}\n"
        "rules:\n  - {id: shape, on: response, when: shape, action: block}\n"
    )
    (folder / "..data").symlink_to("..one")
    for name in ("order.json", "shape.yaml"):
        (folder / name).symlink_to(f"..data/{name}")
    reload = start(folder)
    before = reload.policies.digest
    shutil.copytree(folder / "..one", folder / "..two")
    (folder / "..two" / "order.json").write_text('{"type": "array"}')
    (folder / "..data_tmp").symlink_to("..two")
    (folder / "..data_tmp").rename(folder / "..data")
    assert await looks(reload) != before
    assert not reload.errors


def test_contents_follow_links_but_not_in_circles_and_open_no_pipe(folder: Path, tmp_path: Path) -> None:
    plain = contents(folder)
    (folder / "up").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    with_all = contents(folder)
    assert with_all != plain
    (tmp_path / "missing").write_text("now it is there")
    assert contents(folder) != with_all


def test_a_name_and_a_content_cannot_be_taken_for_each_other(tmp_path: Path) -> None:
    found = set()
    for number, (name, text) in enumerate([("ab", "c"), ("a", "bc"), ("abc", "")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        found.add(contents(folder))
    assert len(found) == 3
