"""Tells who sends a request: the file of clients, their keys and tokens, and limits on guessing keys."""

from __future__ import annotations

from guardproxy.gateway.clients.client_file import (
    FILE_NAME,
    ClientFile,
    StoredClient,
    StoredKey,
    new_key,
    read_client_file,
    write_client_file,
)
from guardproxy.gateway.clients.clients import NO_CLIENT, Clients, KnownClient
from guardproxy.gateway.clients.credentials import digest, moved_from_query, read_secret, refuse_in_query
from guardproxy.gateway.clients.guesses import Guesses
from guardproxy.gateway.clients.key_folder import KeyFolder
from guardproxy.gateway.clients.tokens import ALGORITHMS, Tokens

__all__ = [
    "ALGORITHMS",
    "FILE_NAME",
    "NO_CLIENT",
    "ClientFile",
    "Clients",
    "Guesses",
    "KeyFolder",
    "KnownClient",
    "StoredClient",
    "StoredKey",
    "Tokens",
    "digest",
    "moved_from_query",
    "new_key",
    "read_client_file",
    "read_secret",
    "refuse_in_query",
    "write_client_file",
]
