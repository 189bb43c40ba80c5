"""The settings of clients: keys of the proxy's own, and tokens of an identity provider."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from guardproxy.config.declaration import POSITIVE, AllowedValues, setting, split_address

TOKEN_KEYS_PATH = re.compile(r"(?P<path>(?:(?!://).)+)")  # no address


def is_key_source(entry: str) -> bool:
    """Whether an entry is a file, an https address, or an http address of this machine."""
    if "://" not in entry:
        return True
    parts = split_address(entry)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname or ""))


def is_state(entry: str) -> bool:
    return not entry or split_address(entry).scheme in ("redis", "rediss", "unix")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of clients. Times are in seconds."""

    keys: Path | None = setting(
        "client_keys",
        None,
        "The folder of the file that `guardproxy keys` writes. With it, every request needs a key of the file (or a token), "
        "and the upstream gets `upstream_key`, never the client's key.",
    )
    keys_mode: str = setting(
        "client_keys_mode",
        "enforce",
        "`shadow` refuses no request: without a valid key or token, or outside its scope, a request is sent with the "
        "credential of its client, never with `upstream_key`. Its record says what would have been refused.",
        AllowedValues(choices=("enforce", "shadow")),
    )
    limit_wrong_keys: int = setting(
        "limit_wrong_keys",
        20,
        "Wrong keys and tokens of an address in a minute, after which it gets 429. 0: no limit. Each worker counts its own.",
        AllowedValues(least=0),
    )
    limits: Path | None = setting(
        "limits", None, "A TOML file of limits and budgets; `guardproxy limits lint` checks it."
    )
    prices: str = setting(
        "prices",
        "none",
        "A table of prices, in US dollars, of models for which `limits` has no price: that of the package genai-prices (the "
        "extra `prices`). Nothing is fetched. Records then hold the cost of each exchange.",
        AllowedValues(choices=("none", "genai-prices")),
    )
    state: str = setting(
        "state",
        "",
        "The address of a server of Redis or Valkey in which all workers and replicas count, like redis://host:6379/0. Without "
        "it, each worker counts its own. Needs the extra `redis`.",
        AllowedValues(form="like redis://host:6379/0, rediss:// or unix://", is_right=is_state),
        is_secret=True,
    )
    state_down: str = setting(
        "state_down",
        "closed",
        "What happens while `state` cannot be reached: requests that would be counted get 503 (`closed`), are not counted "
        "(`open`), or are counted by each worker (`local`).",
        AllowedValues(choices=("closed", "open", "local")),
    )
    seal_ids: str = setting(
        "seal_ids",
        "off",
        "Whether ids of stored answers and conversations (OpenAI Responses) are sealed, so that the id of another client or "
        "tenant is unknown. `accept`: ids without a seal are accepted too, for a time of transition.",
        AllowedValues(choices=("off", "on", "accept")),
    )
    seal_ids_scope: str = setting(
        "seal_ids_scope",
        "client",
        "To whom a sealed id belongs: the `client` that got it, or all clients of its `tenant`. Ids that a client got before "
        "the change to `tenant` stay valid for this client.",
        AllowedValues(choices=("client", "tenant")),
    )
    keep_turns_s: float = setting(
        "keep_turns_s",
        86_400.0,
        "Seconds for which values that a client gave in a stored turn (OpenAI Responses) are kept, encrypted, so that later "
        "turns restore them, in the memory of each worker or in `state`. 0: nothing is kept.",
        AllowedValues(least=0),
    )
    feedback: str = setting(
        "feedback",
        "off",
        "Whether clients may send feedback about their exchanges to `POST /guard/feedback`. The ids of exchanges are then "
        "sealed with their client.",
        AllowedValues(choices=("off", "on")),
    )
    jwt_keys: str = setting(
        "jwt_keys",
        "",
        "The public keys (a JWK Set) that sign bearer tokens: a file, or an https address. With it, every request needs a "
        "token (or a key). Needs `jwt_issuer`, `jwt_audience` and the extra `jwt`.",
        AllowedValues(form="a file, or an address with https", is_right=is_key_source),
        path=TOKEN_KEYS_PATH,
    )
    jwt_issuer: str = setting("jwt_issuer", "", "The issuer that tokens must name (`iss`).")
    jwt_audience: tuple[str, ...] = setting(
        "jwt_audience", (), "The audience that tokens must name (`aud`), or several."
    )
    jwt_tenant: str = setting(
        "jwt_tenant",
        "",
        "The claim that holds the tenant's name. A token without it is refused. Empty: tokens name no tenant.",
    )
    jwt_refresh_s: float = setting(
        "jwt_refresh_s", 300.0, "Seconds between two requests for the keys at an address.", POSITIVE
    )
    jwt_keep_s: float = setting(
        "jwt_keep_s",
        86_400.0,
        "How long the last keys stay in force while `jwt_keys` cannot be read. Then tokens get 503. A set without keys takes "
        "effect at once.",
        POSITIVE,
    )

    tls_client_ca: Path | None = setting(
        "tls_client_ca",
        None,
        "The authorities (PEM) of client certificates, which are then credentials: every request needs one (or a key or token "
        "with `client_keys` or `jwt_keys`). The common name of its subject names the client. The file may hold lists of "
        "revoked certificates (CRL). Needs `tls_cert`.",
    )
    tls_client_tenant: str = setting(
        "tls_client_tenant",
        "O",
        "The part of a certificate's subject that names the tenant: the organization (`O`), its unit (`OU`), or the name of "
        "the client (`CN`).",
        AllowedValues(choices=("O", "OU", "CN")),
    )

    @property
    def has_credentials(self) -> bool:
        """Whether clients need a key, a token or a certificate that the proxy itself knows."""
        return bool(self.keys or self.jwt_keys or self.tls_client_ca)
