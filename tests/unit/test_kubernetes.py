"""The manifests for Kubernetes: what each pod must have, and that they are those of the chart."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from guardproxy.config import SETTINGS, load

ROOT = Path(__file__).parents[2]
FOLDER, CHART = ROOT / "deploy" / "kubernetes", ROOT / "deploy" / "chart"
MODES = ("gateway", "sidecar")


def manifests(mode: str) -> dict[str, list[dict[str, Any]]]:
    """The resources of a file, by their kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for resource in yaml.safe_load_all((FOLDER / f"{mode}.yaml").read_text("utf-8")):
        found.setdefault(resource["kind"], []).append(resource)
    return found


def pod(mode: str) -> dict[str, Any]:
    (stateful,) = manifests(mode)["StatefulSet"]
    found: dict[str, Any] = stateful["spec"]["template"]["spec"]
    return found


def guard(mode: str) -> dict[str, Any]:
    """The container of the guard."""
    spec = pod(mode)
    (found,) = [part for part in (*spec.get("initContainers", ()), *spec["containers"]) if part["name"] == "guardproxy"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_each_replica_has_a_log_of_its_own_that_outlives_it(mode: str) -> None:
    (stateful,) = manifests(mode)["StatefulSet"]
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    mounts = {mount["name"]: mount["mountPath"] for mount in guard(mode)["volumeMounts"]}
    assert f"--audit={mounts[claim['metadata']['name']]}" in guard(mode)["args"]
    assert set(stateful["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    assert pod(mode)["securityContext"]["fsGroup"] == guard(mode)["securityContext"]["runAsGroup"]
    assert not any("persistentVolumeClaim" in volume for volume in pod(mode)["volumes"]), "a claim that replicas share"
    (headless,) = [service for service in manifests(mode)["Service"] if service["spec"].get("clusterIP") == "None"]
    assert stateful["spec"]["serviceName"] == headless["metadata"]["name"]


@pytest.mark.parametrize("mode", MODES)
def test_the_guard_has_no_rights_and_a_tree_that_it_cannot_write(mode: str) -> None:
    assert guard(mode)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod(mode)["automountServiceAccountToken"], pod(mode)["enableServiceLinks"]) == (False, False)
    written = {mount["mountPath"] for mount in guard(mode)["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/audit", "/tmp"}
    volumes = {volume["name"] for volume in pod(mode)["volumes"]} | {"audit"}
    assert {mount["name"] for mount in guard(mode)["volumeMounts"]} <= volumes


@pytest.mark.parametrize("mode", MODES)
def test_probes_ask_the_admin_port_of_the_pod_and_nobody_else_may(mode: str) -> None:
    container, probes = guard(mode), ("startupProbe", "livenessProbe", "readinessProbe")
    assert "--admin-host=$(POD_IP)" in container["args"]
    asked = {(container[probe]["httpGet"]["port"], container[probe]["httpGet"].get("scheme")) for probe in probes}
    assert asked == {("admin", "HTTPS" if "--tls-port=admin" in container["args"] else None)}
    limit_s = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    assert limit_s >= 60, "models load for a while"
    (policy,) = manifests(mode)["NetworkPolicy"]
    admin = [rule for rule in policy["spec"]["ingress"] if any(port["port"] == "admin" for port in rule["ports"])]
    assert all(rule["from"] for rule in admin)
    assert len(admin) == (mode == "gateway")
    assert all(rule["ports"] for rule in policy["spec"]["ingress"]), "a rule without ports opens all"


@pytest.mark.parametrize("mode", MODES)
def test_the_time_for_the_end_is_longer_than_the_proxy_takes(mode: str) -> None:
    before_s = guard(mode).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    ends_s = SETTINGS["drain_s"].default + 5 + before_s
    assert pod(mode)["terminationGracePeriodSeconds"] > ends_s


def test_a_sidecar_is_native_and_only_its_pod_can_ask_it() -> None:
    (container,) = pod("sidecar")["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert "--host=127.0.0.1" in container["args"]
    assert [port["name"] for port in container["ports"]] == ["admin"]
    assert [service["spec"]["ports"][0]["port"] for service in manifests("sidecar")["Service"]] == [9090]
    (application,) = pod("sidecar")["containers"]
    assert {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:8080/v1"} in application["env"]


@pytest.mark.parametrize("mode", MODES)
def test_the_arguments_and_the_settings_can_be_read(mode: str, tmp_path: Path) -> None:
    (settings,) = [
        entry["data"] for entry in manifests(mode)["ConfigMap"] if entry["metadata"]["name"].endswith("-settings")
    ]
    file = tmp_path / "guardproxy.toml"
    file.write_text(settings["guardproxy.toml"])
    flags = {setting.flag: name for name, setting in SETTINGS.items()}
    pairs = [argument.split("=", 1) for argument in guard(mode)["args"]]
    given = {flags[flag]: value.replace("$(POD_IP)", "10.0.0.1") for flag, value in pairs if flag != "--config"}
    environ = {entry["name"]: entry["value"] for entry in guard(mode)["env"] if "value" in entry}
    for name in environ:
        (tmp_path / name).write_text("default=sk-x" if "UPSTREAM" in name else "k" * 16)
    config = load(given, {name: str(tmp_path / name) for name in environ}, file)
    assert config.network.admin_host == "10.0.0.1"
    assert config.upstreams.urls[0] == "https://api.openai.com"
    mounts = [mount["mountPath"] for mount in guard(mode)["volumeMounts"]]
    paths = [value for value in (*given.values(), *environ.values()) if value.startswith("/")]
    assert all(any(path == mount or path.startswith(f"{mount}/") for mount in mounts) for path in paths)
    assert not any("value" in entry and "sk-" in entry["value"] for entry in guard(mode)["env"]), (
        "a secret is in a file"
    )


def test_a_scaled_gateway_has_no_number_of_replicas_and_goes_slowly() -> None:
    (stateful,), (scaler,) = (manifests("gateway")[kind] for kind in ("StatefulSet", "HorizontalPodAutoscaler"))
    assert "replicas" not in stateful["spec"], "each update would set it back"
    assert scaler["spec"]["scaleTargetRef"]["name"] == stateful["metadata"]["name"]
    names = {metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if metric["type"] == "Pods"}
    assert names == {"guardproxy_open_exchanges"}
    (budget,) = manifests("gateway")["PodDisruptionBudget"]
    assert budget["spec"]["selector"] == stateful["spec"]["selector"]


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_each_value_of_the_chart_is_used_and_declared() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = yaml.safe_load((CHART / "values.schema.json").read_text("utf-8"))
    templates = "".join(path.read_text("utf-8") for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.(\w+)", templates))
    assert used - {"nameOverride"} == set(values)
    assert set(values) <= set(schema["properties"])


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed; `make chart` needs it too")
@pytest.mark.parametrize("mode", MODES)
def test_the_manifests_are_those_of_the_chart(mode: str) -> None:
    words = ["helm", "template", "guardproxy", str(CHART), "--namespace", "llm", "--kube-version", "1.34.0"]
    ran = subprocess.run(
        [*words, "-f", str(FOLDER / f"{mode}-values.yaml")], capture_output=True, check=True, text=True
    )
    made = list(yaml.safe_load_all(ran.stdout))
    assert made == list(yaml.safe_load_all((FOLDER / f"{mode}.yaml").read_text("utf-8")))
