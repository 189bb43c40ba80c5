"""A pod of the manifests, as far as a machine can be one: its arguments, its files, and the variables of Services."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.rig import ROOT, Upstream, wait_logged
from tests.kit import processes
from tests.kit.certificates import Authority


def service_variables(name: str, port: int) -> dict[str, str]:
    """What Kubernetes gives to each container for a Service, unless `enableServiceLinks` is false."""
    prefix, place = name.upper().replace("-", "_"), f"{prefix_of(name)}_PORT_{port}_TCP"
    return {
        f"{prefix}_SERVICE_HOST": "10.96.0.7",
        f"{prefix}_SERVICE_PORT": str(port),
        f"{prefix}_SERVICE_PORT_HTTPS": str(port),
        f"{prefix}_PORT": f"tcp://10.96.0.7:{port}",
        place: f"tcp://10.96.0.7:{port}",
        f"{place}_PROTO": "tcp",
        f"{place}_PORT": str(port),
        f"{place}_ADDR": "10.96.0.7",
    }


def prefix_of(name: str) -> str:
    return name.upper().replace("-", "_")


def pod(folder: Path, upstream: str) -> tuple[list[str], dict[str, str]]:
    """The arguments and variables of the guard in the gateway's manifest, with its mounts below a folder."""
    resources = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "gateway.yaml").read_text("utf-8")))
    maps = {entry["metadata"]["name"]: entry["data"] for entry in resources if entry["kind"] == "ConfigMap"}
    (spec,) = [entry["spec"]["template"]["spec"] for entry in resources if entry["kind"] == "StatefulSet"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        volume: dict[str, Any] = volumes.get(mount["name"], {})
        place = folder / mount["mountPath"].removeprefix("/")
        if "configMap" in volume:
            data = maps[volume["configMap"]["name"]]
            if "subPath" in mount:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(data[mount["subPath"]].replace("https://api.openai.com", upstream))
                continue
            swapped(place, data)
        place.mkdir(parents=True, exist_ok=True)
    (folder / "run/secrets/guardproxy/upstream_key").write_text("default=sk-of-the-upstream\n")
    (folder / "run/secrets/guardproxy/key").write_text("placeholder-key-of-a-test\n")
    words = [word.replace("=/", f"={folder}/").replace("$(POD_IP)", "127.0.0.1") for word in container["args"]]
    words = [{"--port=8080": "--port=0", "--admin-port=9090": "--admin-port=0"}.get(word, word) for word in words]
    environ = {entry["name"]: f"{folder}{entry['value']}" for entry in container["env"] if "value" in entry}
    return words, environ


def swapped(place: Path, data: dict[str, str]) -> None:
    """Writes a ConfigMap as the kubelet does: into a new folder to which a link is moved."""
    place.mkdir(parents=True, exist_ok=True)
    version = place / f"..v{len(list(place.glob('..v*')))}"
    version.mkdir()
    for name, text in data.items():
        (version / name).write_text(text)
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"..data/{name}")
    (place / "..new").symlink_to(version.name)
    (place / "..new").replace(place / "..data")


@pytest.mark.usefixtures("upstream")
def test_a_pod_starts_under_the_variables_of_its_service_and_takes_new_policies(
    upstream: Upstream, tmp_path: Path
) -> None:
    words, environ = pod(tmp_path, upstream.url)
    authority = Authority(tmp_path)
    server = authority.pair("server", host="localhost")
    tls = tmp_path / "etc/guardproxy/tls"
    for source, name in zip(server, ("tls.crt", "tls.key"), strict=True):
        (tls / name).write_bytes(source.read_bytes())
        (tls / name).chmod(0o440)
    keys = tmp_path / "etc/guardproxy/keys"
    key = processes.run("keys", "create", str(keys), "billing", "--tenant", "acme").stdout.strip()
    for name in ("guardproxy", "guardproxy-pods", "guardproxy-admin", "guardproxy-upstream"):
        environ |= service_variables(name, 443)
    log = tmp_path / "log.txt"
    process = processes.start("serve", *words, stdout=log, env={**os.environ, **environ})
    try:
        (said,) = wait_logged(process, log, "listening")
        assert said["policy_names"] == ["no-secrets"]
        admin = f"https://127.0.0.1:{said['admin_port']}"
        unverified = ssl._create_unverified_context()  # as probes of the kubelet have it
        with urllib.request.urlopen(f"{admin}/all/readyz", timeout=30, context=unverified) as response:
            assert response.read() == b"worker 0: ready\n"
        trusting = ssl.create_default_context(cafile=authority.file)
        body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": "echo: falcon"}]}).encode()
        request = urllib.request.Request(
            f"https://localhost:{said['port']}/v1/chat/completions",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request, timeout=30, context=trusting) as response:
            assert b"falcon" in response.read()
        assert upstream.journal.all()[-1].headers["authorization"] == "Bearer sk-of-the-upstream"
        policy = "policy: new\nchecks: {word: {use: pattern, words: [falcon]}}\nrules: [{id: no, when: word, action: block}]\n"
        swapped(tmp_path / "etc/guardproxy/policies", {"no-secrets.yaml": policy})
        wait_logged(process, log, "policies reloaded")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=30, context=trusting)
        caught.value.close()
        assert caught.value.code == 400
    finally:
        process.send_signal(15)
        assert process.wait(60) == 0
    assert "no such settings" not in log.read_text("utf-8")
