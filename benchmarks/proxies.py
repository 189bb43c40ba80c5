"""The other proxies of `overhead.py`: how each is started in front of the canned model, if it is installed.

`make bench-peers` installs those that come from package indexes, each into an environment of its own in a folder; nginx comes
from the system. Each gets one worker, no log and no check of texts, unless its name says more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
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


@dataclass(frozen=True, slots=True)
class Start:
    """How a proxy is started. `ready`: a path that it answers once it is ready; `headers`: what its requests must have;
    `streams`: whether it can stream."""

    command: list[str]
    ready: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    streams: bool = True


Prepare = Callable[[Path, Path, int, int], Start | None]
"""Prepares a proxy: the folder of the peers, a folder for its files, its port, the port of the model; `None`: not installed."""


def nginx(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    program = shutil.which("nginx")
    if program is None:
        return None
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, upstream_port=upstream_port))
    return Start([program, "-p", str(folder), "-c", str(config)])


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
    return Start(
        [str(program), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"]
    )


def portkey(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    script = peers / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    program = shutil.which("node")
    if program is None or not script.is_file():
        return None
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1"}
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
    command = [program, str(script), "--headless", f"--port={port}"]
    # With Node 20.20 its streams end with status 500: it adds a header to an answer whose headers are immutable.
    return Start(command, headers=headers, environment=environment, streams=False)


def litellm(peers: Path, folder: Path, port: int, upstream_port: int) -> Start | None:
    program = peers / "litellm" / "bin" / "litellm"
    if not program.is_file():
        return None
    base = f"http://127.0.0.1:{upstream_port}/v1"
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", "api_base": base, "api_key": "none"}}
        for name in LITELLM_MODELS
    ]
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models}))  # JSON is YAML
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    # Without the first, it asks the network for prices; the second is its own advice for production.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    return Start(command, "/health/liveliness", environment=environment)


PROXIES: Mapping[str, Prepare] = {
    "nginx": nginx,
    "Envoy": envoy,
    "Portkey gateway": portkey,
    "LiteLLM": litellm,
}


def prepared(
    peers: Path, folder: Path, upstream_port: int, free_port: Callable[[], int]
) -> Iterator[tuple[str, int, Start | None]]:
    """Yields the name, the port and the start of each proxy; no start if it is not installed."""
    for name, prepare in PROXIES.items():
        own = folder / name.replace(" ", "-")
        own.mkdir()
        port = free_port()
        yield name, port, prepare(peers, own, port, upstream_port)
