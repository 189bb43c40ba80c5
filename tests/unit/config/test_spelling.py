"""Misspelled settings are errors, and what Kubernetes puts into the environment is nobody's mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.config import SETTINGS, spelling
from guardproxy.config.spelling import FURTHER, edits, is_injected, unknown_key, unknown_variables
from tests.kit.checks import promise

VARIABLES = [setting.variable for setting in SETTINGS.values()]
ROOT = Path(__file__).parents[3]


def service(name: str, ports: dict[str, int]) -> dict[str, str]:
    """The variables that Kubernetes makes for a Service, as its documentation lists them. `ports`: by name and protocol."""
    prefix = name.upper().replace("-", "_")
    first = next(iter(ports.values()))
    variables = {f"{prefix}_SERVICE_HOST": "10.0.0.11", f"{prefix}_SERVICE_PORT": str(first)}
    for label, port in ports.items():
        protocol = "udp" if label == "dns" else "tcp"
        port_name = f"{prefix}_PORT_{port}_{protocol.upper()}"
        variables |= {
            f"{prefix}_SERVICE_PORT_{label.upper().replace('-', '_')}": str(port),
            f"{prefix}_PORT": f"{protocol}://10.0.0.11:{first}",
            port_name: f"{protocol}://10.0.0.11:{port}",
            f"{port_name}_PROTO": protocol,
            f"{port_name}_PORT": str(port),
            f"{port_name}_ADDR": "10.0.0.11",
        }
    return variables


@pytest.mark.parametrize("name", ["guardproxy", "guardproxy-admin", "guardproxy-models-v2"])
@pytest.mark.parametrize("ports", [{"http": 80}, {"http": 8080, "admin-http": 9090, "dns": 53}])
def test_variables_of_a_service_are_ignored(name: str, ports: dict[str, int]) -> None:
    environ = service(name, ports)
    assert unknown_variables(environ, VARIABLES) == ([], [])
    for variable, value in environ.items():
        assert is_injected(variable, value, variable in VARIABLES), variable


def test_no_setting_has_the_name_of_a_variable_of_a_service() -> None:
    assert not [variable for variable in VARIABLES if is_injected(variable, "1", True)]
    # Names that end with a port are the only ones that Kubernetes can overwrite (`tls_port` for a Service `guardproxy-tls`);
    # `tcp://` elsewhere is a mistake that must be said.
    overwritten = [variable for variable in VARIABLES if is_injected(variable, "tcp://10.0.0.11:80", True)]
    assert overwritten == ["GUARDPROXY_PORT", "GUARDPROXY_ADMIN_PORT", "GUARDPROXY_TLS_PORT"]


@promise
@given(st.sampled_from(VARIABLES), st.data())
def test_one_or_two_slips_of_the_pen_are_an_error(variable: str, data: st.DataObject) -> None:
    word = variable.removeprefix("GUARDPROXY_")
    slips = data.draw(st.integers(1, 2))
    for _ in range(slips):
        at = data.draw(st.integers(0, len(word) - 1)) if word else 0
        letter = data.draw(st.sampled_from("ABCXYZ_9"))
        changed = [word[:at] + letter + word[at:], word[:at] + word[at + 1 :], word[:at] + letter + word[at + 1 :]]
        if slips == 1:  # a letter between two that are swapped is a third change
            changed.append(word[:at] + word[at : at + 2][::-1] + word[at + 2 :])
        word = data.draw(st.sampled_from(changed))
    name = f"GUARDPROXY_{word}"
    errors, warnings = unknown_variables({name: "1"}, VARIABLES)
    assert not warnings
    assert bool(errors) == (name not in VARIABLES and name not in FURTHER and not is_injected(name, "1", False))
    if errors:
        near = re.search(r"did you mean (\w+)\?", errors[0])
        assert near is not None
        assert edits(name, near[1]) <= edits(name, variable) <= 2


def test_a_name_is_compared_only_with_settings_of_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a proxy does not wait for variables of others, however many and long they are."""
    compared: list[str] = []

    def counted(left: str, right: str) -> int:
        compared.append(right)
        return edits(left, right)

    monkeypatch.setattr(spelling, "edits", counted)
    _, (warning,) = unknown_variables({"GUARDPROXY_" + "A" * 10_000: "x", "GUARDPROXY_ABCD": "y"}, VARIABLES)
    assert warning.startswith("GUARDPROXY_AAA")
    assert 0 < len(compared) < len(VARIABLES) / 2
    assert {len(word) for word in compared} <= {2, 3, 4, 5, 6}


@pytest.mark.parametrize("name", ["guardproxy_unknown_tenant", "GuardProxy_Port", "GUARDPROXY_UNKNOWN_TENNANT"])
def test_letters_of_the_other_case_are_a_misspelling_too(name: str) -> None:
    (error,), _ = unknown_variables({name: "refuse"}, VARIABLES)
    assert error.startswith(f"{name} is not a setting; did you mean GUARDPROXY_")


def test_variables_that_the_repository_reads_are_known() -> None:
    """A variable of a command, a benchmark or a test must not end a proxy that happens to see it."""
    named: set[str] = set()
    for file in [
        ROOT / "Makefile",
        *(path for part in ("guardproxy", "benchmarks", "models") for path in (ROOT / part).rglob("*.py")),
    ]:
        named.update(re.findall(r"\bGUARDPROXY_[A-Z][A-Z0-9_]*[A-Z0-9]\b", file.read_text("utf-8")))
    assert {*named} > FURTHER - {"GUARDPROXY_KILLS_FIRST"}
    found = unknown_variables(dict.fromkeys(named, "1"), VARIABLES)
    assert found == ([], [])


@pytest.mark.parametrize(
    ("left", "right", "count"),
    [("", "", 0), ("port", "port", 0), ("portt", "port", 1), ("prot", "port", 1), ("ort", "port", 1), ("pirt", "port", 1),
     ("", "ab", 2), ("host", "port", 2), ("ca", "abc", 3)],
)  # fmt: skip
def test_edits(left: str, right: str, count: int) -> None:
    assert edits(left, right) == edits(right, left) == count


def test_a_key_that_is_near_to_nothing() -> None:
    assert unknown_key("zzz", False, SETTINGS) == "unknown setting `zzz`; `guardproxy serve --help` lists all"
