"""The page Now as a person sees it: what is wrong, the numbers, the refusals, and the stream that follows them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from guardproxy.console import drift_watch
from guardproxy.console.index import Filter
from guardproxy.console.pages import now
from guardproxy.console.pages.now import following
from guardproxy.console.pages.now.board import NowBoard
from tests.kit.console import ConsoleSite, FakeProxy, console_site
from tests.kit.console_log import write_console_log

HOSTILE = "<script>alert(1)</script><div hx-get='/evil' hx-trigger='load'>\u202egnp\x07" + "x" * 10_000
STATUS: dict[str, Any] = {
    "engine": "guardproxy 1",
    "url": "http://127.0.0.1:8123",
    "upstreams": {"default": "open"},
    "gauges": {"open": 2.0, "scans_waiting": 1.0},
    "troubles": [
        {
            "text": "the upstream `default` is not asked: its circuit breaker is open (refused)",
            "settings": ["upstream"],
            "code": "upstream_unavailable",
            "meaning": "the host refuses connections to the port",
        }
    ],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write_console_log(folder, 150)
    return folder


@pytest.fixture
def audit(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "audit"))


@pytest.fixture(autouse=True)
def no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs no command beside the test."""
    monkeypatch.setattr(drift_watch.DriftWatch, "again", lambda self: None)


def proxy(*statuses: Any) -> FakeProxy:
    shown = {f"worker {number}": status for number, status in enumerate(statuses)}
    return FakeProxy({"/all/status": json.dumps(shown)})


def text_of(html: str) -> str:
    """Returns what a reader sees of a page."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def at(site: ConsoleSite, unix_s: float) -> None:
    """Lets the page be seen at a time."""
    site.console.shared["now"] = NowBoard(site.console, drift_watch.DriftWatch(None), lambda: unix_s)


async def newest(site: ConsoleSite) -> float:
    return site.console.index.rows(Filter(), 1).rows[0].at


async def test_without_traffic_the_page_says_how_to_send_the_first_request() -> None:
    async with console_site(None, proxy=proxy({**STATUS, "troubles": []})) as site:
        page = await site.get("viewer", "/console/now")
    assert page.status == 200
    assert "curl http://127.0.0.1:8123/v1/chat/completions" in page.text
    assert "Nothing is wrong that the proxy knows of." in page.text
    assert "Refused and blocked" not in page.text


async def test_what_is_wrong_stands_on_top_with_its_setting(audit: Path) -> None:
    async with console_site(audit, proxy=proxy(STATUS), upstream=("http://127.0.0.1:9",)) as site:
        page = await site.get("viewer", "/console/now")
    seen = text_of(page.text)
    assert seen.index("Wrong right now") < seen.index("circuit breaker is open") < seen.index("Latency added")
    assert "What fixes it: --upstream http://127.0.0.1:9 The model&#39;s API" in seen
    assert "0 of 1 answer" in seen


async def test_a_proxy_that_does_not_answer_is_said(audit: Path) -> None:
    async with console_site(audit) as site:
        page = await site.get("auditor", "/console/now")
    assert page.status == 200
    assert "The proxy does not answer" in page.text
    assert "Refused and blocked lately" in page.text, "the log alone is shown"


async def test_refusals_have_their_reason_and_a_link(audit: Path) -> None:
    async with console_site(audit, proxy=proxy({**STATUS, "troubles": []})) as site:
        page = await site.get("viewer", "/console/now")
        blocked = site.console.index.rows(Filter(outcome="blocked"), 1).rows[0]
        refused = site.console.index.rows(Filter(outcome="refused"), 1).rows[0]
        message = site.console.index.record(refused.id).error
    assert f'href="/console/exchanges/{blocked.id}"' in page.text
    assert message
    assert message.message[1:].partition("`")[0] in page.text
    assert 0 < page.text.count("data-row") <= 60


@pytest.mark.parametrize("window", ["5m", "1h", "1d", "<b>"])
async def test_numbers_are_of_the_chosen_time(audit: Path, window: str) -> None:
    async with console_site(audit, proxy=proxy(STATUS)) as site:
        last = await newest(site)
        at(site, last + 1)
        page = await site.get("viewer", f"/console/now?window={window}")
        length_s = {"1h": 3600, "1d": 86400}.get(window, 300)
        wanted = site.console.index.count(Filter(since=last + 1 - length_s))
    assert f'<p class="figure-value">{wanted:,}</p>' in page.text
    assert page.text.count('class="spark"') == 5


async def test_errors_of_the_last_minutes_are_causes(audit: Path) -> None:
    async with console_site(audit, proxy=proxy({**STATUS, "troubles": []})) as site:
        coded = site.console.index.rows(Filter(outcome="refused"), 1).rows[0]
        at(site, coded.at + 1)
        page = await site.get("viewer", "/console/now")
    assert coded.error
    assert f"outcome={coded.error}&amp;since=5m" in page.text


def change(folder: Path) -> None:
    """Changes a line of a log."""
    log = max(folder.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    log.write_bytes(log.read_bytes().replace(b'"outcome":"answered"', b'"outcome":"answerrd"', 1))


async def test_a_changed_line_is_the_worst(audit: Path) -> None:
    change(audit)
    async with console_site(audit, proxy=proxy(STATUS)) as site:
        page = await site.get("auditor", "/console/now")
    assert "1 line of the log are not what was written" in page.text
    assert 'href="/console/exchanges?outcome=changed"' in page.text


async def test_hostile_texts_are_shown_and_never_run(audit: Path) -> None:
    status = {
        "engine": HOSTILE,
        "upstreams": {HOSTILE: "open"},
        "policies": HOSTILE,
        "troubles": [{"text": HOSTILE, "meaning": HOSTILE, "settings": [HOSTILE, "upstream"]}],
        "counts": [{"name": HOSTILE, "text": HOSTILE, "value": 1.0}],
        "guards": [
            {"policy": HOSTILE, "description": HOSTILE, "rules": [{"id": HOSTILE, "action": "block", "mode": HOSTILE}]}
        ],
    }
    async with console_site(audit, proxy=FakeProxy({"/all/status": json.dumps({HOSTILE: status, "w": None})})) as site:
        page = await site.get("viewer", "/console/now")
        live = site.console.templates
    assert live is not None
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert "hx-get=" not in page.text.replace("hx-get=&#39;", "")
    assert "\u202e" not in page.text
    assert "\x07" not in page.text


async def test_the_stream_sends_what_the_page_shows(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLLOW_S", 0.0)
    async with console_site(audit, proxy=proxy(STATUS)) as site:
        at(site, await newest(site) + 1)
        answer = await site.get("viewer", "/console/now/live?window=1h")
        again = await site.get("viewer", "/console/now/live?window=1h")
        board = site.console.shared["now"]
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.text.count("Refused and blocked lately") == 1
    assert again.text == answer.text, "who connects again gets the whole"
    assert "<html" not in answer.text
    assert board.streams == 0


async def test_a_text_is_sent_when_it_is_another_one() -> None:
    now_s = [0.0]
    texts = iter(["a", "a", "b", *["b"] * 100])

    async def made() -> str:
        return next(texts)

    async def pause(seconds: float) -> None:
        now_s[0] += seconds

    sent = [text async for text in following.changes(made, lambda: now_s[0], pause)]
    assert sent == ["a", "b", *[None] * 7], "signs of life, and an end after which the page connects again"
    assert now_s[0] == following.FOLLOW_S


async def test_too_many_streams_are_refused(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now, "LIMIT_STREAMS", 0)
    async with console_site(audit, proxy=proxy(STATUS)) as site:
        assert (await site.get("viewer", "/console/now/live")).status == 503
        assert (await site.get("viewer", "/console/now")).status == 200


async def test_many_pages_cost_as_much_as_one(audit: Path) -> None:
    asked: list[str] = []

    class Counting(FakeProxy):
        async def _ask(self, method: str, path: str) -> str:
            asked.append(path)
            return await super()._ask(method, path)

    async with console_site(audit, proxy=Counting({"/all/status": json.dumps({"worker 0": STATUS})})) as site:
        at(site, await newest(site) + 1)
        for _ in range(5):
            assert (await site.get("viewer", "/console/now")).status == 200
    assert asked == ["/all/status"]


async def test_a_view_that_took_long_is_kept_for_long(audit: Path) -> None:
    now_s, asked = [0.0], list[str]()

    class Slow(FakeProxy):
        async def _ask(self, method: str, path: str) -> str:
            asked.append(path)
            now_s[0] += 1.0
            return await super()._ask(method, path)

    slow = Slow({"/all/status": json.dumps({"worker 0": STATUS})})
    slow._clock = lambda: now_s[0]
    async with console_site(audit, proxy=slow) as site:
        board = NowBoard(site.console, drift_watch.DriftWatch(None), lambda: 0.0, lambda: now_s[0])
        for moment_s in (0.0, 5.0, 20.5, 21.5):
            now_s[0] = moment_s
            slow._kept.clear()
            await board.view("5m")
    assert len(asked) == 2, "a second of work is followed by 20 of rest"


async def test_the_comparison_of_traffic_can_be_asked_for(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    monkeypatch.setattr(drift_watch.DriftWatch, "again", lambda self: begun.append(1))
    async with console_site(audit, proxy=proxy(STATUS)) as site:
        answer = await site.post("viewer", "/console/now/drift")
    assert (answer.status, answer.headers["Location"]) == (303, "/console/now")
    assert begun == [1]
