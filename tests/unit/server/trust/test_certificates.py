"""Certificates in force: what is refused at the start, what a change on the disk does, and what an operator is told."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from guardproxy.config import ADMIN, CLIENTS, EXT_PROC, PORTS, load
from guardproxy.errors import ConfigError
from guardproxy.server.trust import contexts
from guardproxy.server.trust.certificates import Certificates
from tests.kit.certificates import DAY, Authority, Pair

UPSTREAM = "https://llm.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def certificates(clock: Any = time.time, **values: Any) -> Certificates:
    return Certificates(load({"upstream": (UPSTREAM,), **values}, {}), clock)


def of_clients(found: Certificates) -> ssl.SSLContext:
    return found.context_for(CLIENTS)


def serving(pair: Pair, **values: Any) -> Certificates:
    return certificates(tls_cert=str(pair.cert), tls_key=str(pair.key), **values)


def shown(context: ssl.SSLContext, authority: Authority, pair: Pair | None = None) -> bytes:
    """The certificate that a client gets from a server with this context. Raises `ssl.SSLError`."""
    trusting = ssl.create_default_context(cafile=authority.file)
    trusting.check_hostname = False
    if pair:
        trusting.load_cert_chain(*pair)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = trusting.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() in ("TLSv1.2", "TLSv1.3")
    found = client.getpeercert(binary_form=True)
    assert found
    return found


async def settle(found: Certificates) -> None:
    """What is new is used when two polls saw it."""
    await found.step()
    await found.step()


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("absent.crt", "good.key", "cannot read .*absent.crt: no such file"),
        ("good.crt", "absent.key", "cannot read .*absent.key: no such file"),
        ("other.crt", "good.key", "good.key: the key does not belong to the certificate in .*other.crt"),
        ("old.crt", "old.key", "old.crt: the certificate has expired at 20"),
        ("early.crt", "early.key", "early.crt: the certificate is valid only from 20"),
        ("good.key", "good.key", "good.key: holds no certificate that can be read"),
        ("empty.pem", "good.key", "empty.pem: holds no certificate that can be read"),
        ("good.crt", "empty.pem", "are no certificate and key that can be used together"),
        ("good.crt", None, "good.crt: holds no certificate and key that can be used together"),
        ("good.crt", "locked.key", "locked.key: the key is encrypted"),
        ("good.crt", "large.pem", "large.pem: the file is larger than"),
        (".", "good.key", "cannot read .*: is a directory"),
    ],
)
def test_a_pair_that_cannot_be_used_stops_the_start(
    cert: str, key: str | None, message: str, authority: Authority, tmp_path: Path
) -> None:
    good = authority.pair("good")
    authority.pair("other")
    authority.pair("old", ends_in=-DAY / 2)
    authority.pair("early", begins_in=DAY, ends_in=2 * DAY)
    (tmp_path / "empty.pem").touch()
    (tmp_path / "large.pem").write_bytes(b"x" * (contexts.LIMIT_BYTES + 1))
    private = load_pem_private_key(good.key.read_bytes(), None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(ConfigError, match=message) as caught:
        certificates(tls_cert=str(tmp_path / cert), tls_key=key and str(tmp_path / key))
    assert str(caught.value).startswith("`tls_cert` (--tls-cert, GUARDPROXY_TLS_CERT)")


def test_a_pair_may_be_one_file(authority: Authority, tmp_path: Path) -> None:
    pair = authority.pair("good")
    (tmp_path / "both.pem").write_bytes(pair.key.read_bytes() + pair.cert.read_bytes())
    (tmp_path / "both.pem").chmod(0o600)
    found = certificates(tls_cert=str(tmp_path / "both.pem"))
    assert shown(of_clients(found), authority) == ssl.PEM_cert_to_DER_cert(pair.cert.read_text())
    assert found.warnings == []


async def test_a_new_pair_is_used_and_a_broken_one_changes_nothing(authority: Authority) -> None:
    pair, renewed = authority.pair("good"), list[str]()
    found = serving(pair)
    found.renewed = renewed.append
    first = of_clients(found)
    new = authority.pair("new")
    pair.cert.write_bytes(new.cert.read_bytes())  # the key follows later
    await found.step()
    assert found.is_fine, "somebody may be replacing both files"
    assert of_clients(found) is first
    await found.step()
    assert not found.is_fine
    (fault,) = found.warnings
    assert "what was read before stays in force" in fault
    assert "the key does not belong to the certificate" in fault
    pair.key.write_bytes(new.key.read_bytes())
    await settle(found)
    assert (found.is_fine, found.warnings, renewed) == (True, [], ["ports"])
    assert shown(of_clients(found), authority) == ssl.PEM_cert_to_DER_cert(new.cert.read_text())
    pair.key.unlink()
    await settle(found)
    assert "cannot read" in found.warnings[0]
    pair.key.write_bytes(new.key.read_bytes())
    pair.key.chmod(0o600)
    await settle(found)
    assert found.warnings == [], "what is in force came back"
    assert renewed == ["ports"]


async def test_an_expired_pair_does_not_replace_one_that_is_valid(authority: Authority) -> None:
    pair = authority.pair("good")
    found = serving(pair)
    before = of_clients(found)
    pair.become(authority.pair("old", ends_in=-timedelta(hours=1)))
    await settle(found)
    assert of_clients(found) is before
    assert "has expired at" in found.warnings[0]


async def test_an_end_within_14_days_is_said(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    now_s = [time.time()]
    pair = authority.pair("good", ends_in=30 * DAY)
    found = serving(pair, clock=lambda: now_s[0])
    assert [(end.setting, end.name, end.path) for end in found.ends()] == [("tls_cert", "", pair.cert)]
    await found.step()
    assert found.warnings == []
    now_s[0] += 17 * DAY.total_seconds()
    assert "ends in 12 days, at 20" in found.warnings[0]
    for _ in range(3):
        await found.step()
    assert [record.message for record in caplog.records] == ["certificate ends soon"], "once a day"
    now_s[0] += DAY.total_seconds()
    await found.step()
    assert len(caplog.records) == 2
    now_s[0] += 20 * DAY.total_seconds()
    assert "a certificate in" in found.warnings[0]
    assert "has ended at" in found.warnings[0]
    assert found.is_fine


def test_a_key_that_everybody_can_read_is_said(authority: Authority) -> None:
    pair = authority.pair("good")
    pair.key.chmod(0o644)
    assert serving(pair).warnings == [f"{pair.key}: every user of this machine can read the key (mode 0644)"]
    pair.key.chmod(0o440)
    assert serving(pair).warnings == []


def test_clients_speak_one_protocol_and_no_old_version(authority: Authority) -> None:
    context = of_clients(serving(authority.pair("good")))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not certificates().encrypts(CLIENTS)


def test_a_client_needs_a_certificate_that_these_authorities_signed(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    found = serving(authority.pair("good"), tls_client_ca=authority.file)
    server = of_clients(found)
    assert server.num_tickets == 0, "a session that is taken up again shows no certificate"
    shown(server, authority, authority.pair("client"))
    for pair in (other.pair("stranger"), None, authority.pair("late", ends_in=-DAY / 2)):
        with pytest.raises(ssl.SSLError):
            shown(server, authority, pair)
    both = serving(authority.pair("good"), tls_client_ca=authority.file, client_keys=tmp_path)
    shown(of_clients(both), authority)
    with pytest.raises(ssl.SSLError):
        shown(of_clients(both), authority, other.pair("stranger"))


async def test_a_revoked_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    pairs = authority.pair("kept"), authority.pair("revoked")
    trusted, renewed = tmp_path / "trusted.pem", list[str]()
    trusted.write_bytes(authority.file.read_bytes())
    found = serving(authority.pair("good"), tls_client_ca=trusted)
    found.renewed = renewed.append
    for pair in pairs:
        shown(of_clients(found), authority, pair)
    trusted.write_bytes(authority.file.read_bytes() + authority.revocations(pairs[1].cert))
    await settle(found)
    assert renewed == ["authorities"]
    shown(of_clients(found), authority, pairs[0])
    with pytest.raises(ssl.SSLError, match="revoked"):
        shown(of_clients(found), authority, pairs[1])
    assert [end.setting for end in found.ends()] == ["tls_cert", "tls_client_ca"]
    assert any("`tls_client_ca`" in warning for warning in found.warnings), "the list ends soon"
    trusted.write_bytes(authority.file.read_bytes() + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    await settle(found)
    assert "cannot be read" in found.warnings[0] or "holds no authority" in found.warnings[0]
    shown(of_clients(found), authority, pairs[0])


@pytest.mark.parametrize("which", ["leaf", "nothing"])
def test_authorities_that_are_none_are_refused(which: str, authority: Authority, tmp_path: Path) -> None:
    pair = authority.pair("good")
    (tmp_path / "nothing").write_text("nothing")
    path = pair.cert if which == "leaf" else tmp_path / "nothing"
    with pytest.raises(ConfigError, match="holds no"):
        serving(pair, tls_client_ca=path)


async def test_ports_share_a_certificate_or_have_their_own(authority: Authority, tmp_path: Path) -> None:
    outer, inner, renewed = authority.pair("outer"), authority.pair("inner"), list[str]()
    given = {
        "tls_cert": (str(outer.cert), f"inner={inner.cert}"),
        "tls_key": (str(outer.key), f"inner={inner.key}"),
        "tls_port": ("admin", "ext_proc=inner"),
        "tls_client_ca": str(authority.file),
    }
    found = certificates(**given)
    found.renewed = renewed.append
    assert [found.encrypts(port) for port in PORTS] == [True, True, False, False, True]
    assert found.context_for(ADMIN).verify_mode is ssl.CERT_NONE, "certificates are credentials of clients alone"
    assert of_clients(found).verify_mode is ssl.CERT_REQUIRED
    assert {(end.setting, end.name) for end in found.ends()} == {
        *(("tls_cert", ""), ("tls_client_ca", ""), ("tls_cert", "inner"))
    }
    before = found.context_for(EXT_PROC)
    assert found.pair_for(EXT_PROC) == (inner.cert.read_bytes(), inner.key.read_bytes())
    outer.become(authority.pair("new"))
    await settle(found)
    assert renewed == ["ports", "ports"], "that of clients, which has authorities, and that of the others"
    assert shown(found.context_for(ADMIN), authority) == ssl.PEM_cert_to_DER_cert(outer.cert.read_text())
    assert found.context_for(EXT_PROC) is before
    outer.key.write_bytes(inner.key.read_bytes())
    await settle(found)
    (fault,) = (warning for warning in found.warnings if "stays in force" in warning)
    assert fault.startswith("`tls_cert`"), "one warning for a file of several ports"
    assert "`tls_client_ca`" in fault
    kept = found.pair_for(ADMIN)
    assert kept[0] == outer.cert.read_bytes()
    assert kept[1] != outer.key.read_bytes(), "what was read before, and not what the file holds"
    only = Certificates(load({"upstream": (UPSTREAM,), **given, "tls_key": ()}, {}), ports=())
    assert not only.encrypts(ADMIN), "nothing is read for ports that nobody asks for"
    assert list(only.ends()) == []


async def test_an_upstream_has_its_own_files(authority: Authority, tmp_path: Path) -> None:
    pair, renewed = authority.pair("own"), list[str]()
    given = {
        "upstream": (UPSTREAM, "local=https://local.example:8443/v1", "plain=http://plain.example"),
        "mcp": ("m=https://m.example/mcp",),
        "upstream_ca": (f"local={authority.file}", str(authority.file), f"plain={authority.file}"),
        "upstream_cert": (f"local={pair.cert}",),
        "upstream_cert_key": (f"local={pair.key}",),
    }
    found = Certificates(load(given, {}))
    found.renewed = renewed.append
    local, others = found.context_of("https://local.example:8443"), found.context_of(UPSTREAM)
    assert local is not None
    assert others is not None
    assert found.context_of("https://m.example") is not None
    assert found.context_of("http://plain.example") is None
    assert local.cert_store_stats()["x509_ca"] == 1
    assert others.cert_store_stats()["x509_ca"] > 1
    assert local.verify_mode is others.verify_mode is ssl.CERT_REQUIRED
    assert local.check_hostname
    assert {(end.setting, end.name) for end in found.ends()} == {
        *(("upstream_cert", "local"), ("upstream_ca", "local")),
        *(("upstream_ca", "default"), ("upstream_ca", "mcp/m")),
    }
    pair.become(authority.pair("new"))
    await settle(found)
    assert renewed == ["upstreams"]
    assert found.context_of("https://local.example:8443") is not local
    assert found.context_of(UPSTREAM) is others


def test_an_origin_with_two_kinds_of_files_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    given = {"upstream": ("a=https://x.example/a", "b=https://x.example/b")}
    with pytest.raises(ConfigError, match=r"https://x\.example is two upstreams, which need the same files"):
        Certificates(load({**given, "upstream_ca": (f"a={authority.file}", f"b={other.file}")}, {}))
    with pytest.raises(ConfigError, match="is two upstreams"):
        Certificates(load({**given, "upstream_ca": (f"a={authority.file}",)}, {}))
    assert Certificates(load({**given, "upstream_ca": (str(authority.file),)}, {})).context_of("https://x.example")


def test_a_file_that_changes_while_it_is_read_is_not_used(authority: Authority) -> None:
    pair = authority.pair("good")
    files = contexts.TlsFiles(pair.cert, pair.key, is_server=True)
    content = files.read()
    pair.become(authority.pair("new"))
    with pytest.raises(ConfigError, match="changed while it was read"):
        contexts.read_again(files, content, time.time())


async def test_a_poll_that_fails_does_not_end_polling(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    found, polls = serving(authority.pair("good")), list[int]()

    async def step() -> None:
        polls.append(1)
        if len(polls) == 1:
            raise RuntimeError
        raise SystemExit

    monkeypatch.setattr("guardproxy.server.trust.certificates.POLL_S", 0)
    monkeypatch.setattr(found, "step", step)
    with pytest.raises(SystemExit):
        await found.run()
    await certificates().run()  # nothing to poll


def test_a_server_behind_standard_streams_needs_no_certificate(authority: Authority) -> None:
    config = load({"upstream": (UPSTREAM,), "upstream_ca": (str(authority.file),)}, {})
    found = Certificates(config.having(mcp=("files=stdio:files",)))
    assert found.is_fine
    assert found.context_of("stdio:files") is None
