"""Certificates are declared once, and ports name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from guardproxy.config import ADMIN, CLIENTS, EXT_PROC, Config, load
from guardproxy.errors import ConfigError

PAIR: dict[str, Any] = {"tls_cert": "c.pem", "tls_key": "k.pem"}


def loaded(values: Mapping[str, Any]) -> Config:
    return load({"upstream": ("https://a.example",), **values}, {})


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({}, {}),
        (PAIR, {"clients": ""}),
        ({**PAIR, "tls_port": ("admin", "adapters")}, {"clients": "", "admin": "", "adapters": ""}),
        ({"tls_cert": "inner=c.pem", "tls_port": "admin=inner"}, {"admin": "inner"}),
        ({"tls_cert": ("c.pem", "o=d.pem"), "tls_port": ("clients=o", "admin")}, {"clients": "o", "admin": ""}),
    ],
)
def test_a_port_speaks_tls_with_the_certificate_that_it_names(values: Any, ports: Any) -> None:
    tls = loaded(values).tls
    assert tls.ports == ports
    assert [tls.speaks(port) for port in (CLIENTS, ADMIN, EXT_PROC)] == [
        p in ports for p in ("clients", "admin", "ext_proc")
    ]


def test_a_certificate_has_the_key_of_its_name() -> None:
    certs, keys = ("c.pem", "o=d=e.pem", "p=p.pem"), ("o=o.key", "k.pem")
    tls = loaded({"tls_cert": certs, "tls_key": keys, "tls_port": ("admin=o", "adapters=p")}).tls
    assert tls.files_of("") == (Path("c.pem"), Path("k.pem"))
    assert tls.files_of("o") == (Path("d=e.pem"), Path("o.key"))
    assert tls.files_of("p") == (Path("p.pem"), None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tls_key": "k.pem"}, "`tls_key` .* needs `tls_cert` .* of the same name"),
        ({**PAIR, "tls_key": "o=k.pem"}, "needs `tls_cert` .* of the same name: o"),
        ({"tls_client_ca": "ca.pem"}, "`tls_client_ca` .* needs `tls_cert`"),
        (
            {"tls_client_ca": "ca.pem", "tls_cert": "o=c.pem", "tls_port": "admin=o"},
            "`tls_client_ca` .* needs `tls_cert`",
        ),
        ({"tls_port": "admin"}, "admin needs one without a name of `tls_cert`"),
        ({**PAIR, "tls_port": "admin=o"}, r"admin must name a certificate \(there is none with a name\) of `tls_cert`"),
        ({"tls_cert": ("c.pem", "o=d.pem")}, "no port shows `o`: give `tls_port`"),
        ({**PAIR, "tls_port": ("admin", "admin")}, "names a port twice"),
        ({"tls_cert": ("c.pem", "d.pem")}, "two entries have the same name, or none"),
        ({**PAIR, "tls_key": ("k.pem", "l.pem")}, "two entries have the same name, or none"),
        ({**PAIR, "tls_port": "console"}, "must be clients, admin, adapters, adapters_grpc or ext_proc"),
        ({**PAIR, "tls_port": "admin="}, "must be clients, admin"),
        ({"tls_cert": "=c.pem"}, "must be like /etc/tls/tls.crt"),
        ({**PAIR, "tls_port": "ext_proc", "ext_proc": "unix:/run/x.sock"}, "is a socket of this machine"),
    ],
)
def test_certificates_and_ports_that_contradict_each_other_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(values)
