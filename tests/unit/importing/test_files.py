"""The files of an import can be read by those that they are for."""

from __future__ import annotations

import tomllib

import yaml

from guardproxy.importing.draft import DraftUpstream, ImportDraft
from guardproxy.importing.files import files_of


def test_a_draft_without_secrets_needs_no_script() -> None:
    draft = ImportDraft(upstreams={"a": DraftUpstream("https://a", "", "")}, settings={"policies": "policies"})
    draft.policy("p", {"rules": [{"id": "r", "on": ["user"]}]})
    files = files_of(draft)
    assert files.keys() == {"guardproxy.toml", "policies/p.yaml"}
    assert tomllib.loads(files["guardproxy.toml"]) == {"upstream": ["a=https://a"], "policies": "policies"}
    assert yaml.safe_load(files["policies/p.yaml"])["rules"] == [{"id": "r", "on": ["user"]}]


def test_secrets_come_from_variables() -> None:
    upstreams = {"a": DraftUpstream("https://a", "", "A_KEY"), "b": DraftUpstream("", "B_BASE", "B_KEY")}
    files = files_of(
        ImportDraft(upstreams=upstreams, variables={"state": "redis://${HOST}"}, prices={'ö"*': (0.5, 1e-6)})
    )
    assert files["environment.sh"].splitlines()[1:] == [
        'export GUARDPROXY_UPSTREAM="a=https://a,b=${B_BASE}"',
        'export GUARDPROXY_UPSTREAM_KEY="a=${A_KEY},b=${B_KEY}"',
        'export GUARDPROXY_STATE="redis://${HOST}"',
    ]
    assert tomllib.loads(files["guardproxy.toml"]) == {}
    assert tomllib.loads(files["limits.toml"]) == {"price": {'ö"*': {"input": 0.5, "output": 1e-6}}}
