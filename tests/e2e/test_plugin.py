"""The examples of plug-ins. The check is built as a wheel, installed into an empty folder, and used by a proxy from there; the
action and the sink lie in a folder with the metadata that an installation writes."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.e2e.rig import PASS, ROOT, Upstream, serve
from tests.e2e.sites import run, wheel_site

EXAMPLE = ROOT / "examples" / "plugin-check"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed."""
    return wheel_site(EXAMPLE, tmp_path_factory.mktemp("plugin"))


def test_it_is_as_short_as_it_says() -> None:
    code = (EXAMPLE / "acme_badges.py").read_text()
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(lines) <= 30


def test_it_is_listed_and_its_policy_passes_its_tests(site: Path) -> None:
    assert "plug-in `badge` (guardproxy.checks) of acme-badges 1.0" in run(site, "-m", "guardproxy", "--version").stdout
    ran = run(site, "-m", "guardproxy", "policy", "test", str(EXAMPLE))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    linted = run(site, "-m", "guardproxy", "policy", "lint", str(EXAMPLE))
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_its_own_tests_pass(site: Path) -> None:
    ran = run(
        site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "test_acme_badges.py")
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_without_it_the_policy_does_not_load() -> None:
    ran = run(ROOT, "-m", "guardproxy", "policy", "lint", str(EXAMPLE))
    assert ran.returncode == 1
    assert "policy.yaml:4:12: unknown check `badge`" in ran.stdout


def test_a_proxy_uses_it(
    site: Path,
    upstream: Upstream,
    tmp_path: Path,
    openai_at: Callable[[str], openai.OpenAI],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.e2e.rig.PLUGINS", str(site))
    proxy = serve(upstream.url, tmp_path / "proxy", (EXAMPLE / "policy.yaml").read_text())
    create = openai_at(proxy.url).chat.completions.create
    answer = create(model="scripted", messages=[{"role": "user", "content": "echo: badge B000007 of mine"}])
    assert proxy.stop() == 0
    assert answer.choices[0].message.content == "badge B000007 of mine"
    (record,) = proxy.records()
    assert record["rules"] == ["no-badges"]
    (seen,) = upstream.journal.wait(lambda entries: entries)
    assert "B000007" not in str(seen.tree)


BROKEN = """\
def build(name, options, resources):
    raise RuntimeError("no licence")
"""


def test_a_broken_one_stops_the_start_and_is_named(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    (copy / "acme_badges.py").write_text(BROKEN)
    command = ["-m", "guardproxy", "serve", "--upstream", "http://127.0.0.1:9", "--policies", str(EXAMPLE)]
    ran = run(copy, *command, "--audit", str(tmp_path / "audit"), "--port", "0", "--admin-port", "0")
    assert ran.returncode == 2
    assert (
        "policy.yaml:4:3: the plug-in `badge` (guardproxy.checks) of acme-badges 1.0 failed: RuntimeError: no licence"
        in ran.stderr
    )
    assert "Traceback" not in ran.stderr


def installed(folder: Path, example: str) -> Path:
    """A folder with an example's module and its entry points."""
    source = ROOT / "examples" / example
    project = tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines))
    for module in source.glob("*.py"):
        shutil.copy(module, folder)
    return folder


def test_the_action_is_used_by_its_policy_and_a_wrong_option_has_its_place(tmp_path: Path) -> None:
    folder = installed(tmp_path / "site", "plugin-action")
    example = ROOT / "examples" / "plugin-action"
    ran = run(folder, "-m", "guardproxy", "policy", "test", str(example))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    wrong = (example / "policy.yaml").read_text().replace("press@example.com", "nobody")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "policy.yaml").write_text(wrong)
    ran = run(folder, "-m", "guardproxy", "policy", "lint", str(tmp_path / "wrong"))
    assert ran.returncode == 1
    assert "policy.yaml:10:" in ran.stdout
    assert "contact: must be an e-mail address" in ran.stdout


def test_a_proxy_feeds_the_sink_beside_its_log(
    upstream: Upstream,
    tmp_path: Path,
    openai_at: Callable[[str], openai.OpenAI],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.e2e.rig.PLUGINS", str(installed(tmp_path / "site", "plugin-sink")))
    monkeypatch.setenv("ACME_SUMMARY_FOLDER", str(tmp_path))
    proxy = serve(upstream.url, tmp_path / "proxy", PASS, "--audit-sink", "summary")
    openai_at(proxy.url).chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "echo: hello"}]
    )
    assert proxy.stop() == 0
    (record,) = proxy.records()
    assert (tmp_path / "audit-0.tsv").read_text() == f"{record['id']}\tanswered\t\n"
    verified = run(ROOT, "-m", "guardproxy", "audit", "verify", str(proxy.audit))
    assert verified.returncode == 0, verified.stdout
