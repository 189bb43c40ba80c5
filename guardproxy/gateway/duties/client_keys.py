"""Admits clients by keys of the proxy's own, by tokens of an identity provider, or by certificates.

In: the credential of a request, and the client that the certificate of its connection names. Out: its client and tenant, or a
refusal. A key or a token counts before the certificate. Any other credential beside a certificate is one that an SDK insists
on, and is dropped. The credential does not go upstream: the upstream gets a key of its own (`upstream_key`). In shadow mode
nothing is refused: a request that would be goes on as its client sent it. Kept: the number of wrong keys by address
(`clients/guesses.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from guardproxy.decisions import Plan
from guardproxy.errors import DownstreamError, ErrorCode
from guardproxy.gateway.clients.client_file import prefix_of
from guardproxy.gateway.clients.clients import Clients, KnownClient, first_forbidden
from guardproxy.gateway.clients.credentials import NO_CREDENTIAL
from guardproxy.gateway.clients.guesses import Guesses
from guardproxy.gateway.clients.tokens import Tokens, is_token
from guardproxy.gateway.duties.duty import Duty, Head, Refusal
from guardproxy.wire import FEEDBACK_ROUTE, Codec, Formats, Request, installed, statement_of

LIMIT_OPEN = 10_000  # refusals that nobody asked for, as their clients left
_READ_ONLY = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class KnownClients:
    """The clients in force. `clients`: those with keys. `tokens`: reads tokens; `None` if there are none. `has_tokens`:
    whether tokens are accepted, also while the keys that sign them could not be read yet."""

    clients: Clients
    tokens: Tokens | None = None
    has_tokens: bool = False


class ClientKeys(Duty):
    """Sets the client and the tenant of a request, and refuses requests without a valid key or outside its scope.

    `known`: returns the clients in force. `seal`: returns a keyed digest. `policies`: returns the names of the policies in
    force. `formats`: returns the wire formats in force. `is_shadow`: whether nothing is refused. `notice(code, mode)`: is
    called for each refusal. `open_routes`: those that need no key.
    """

    name = "client-keys"

    def __init__(
        self,
        known: Callable[[], KnownClients],
        guesses: Guesses,
        seal: Callable[[bytes], str],
        policies: Callable[[], Collection[str]],
        formats: Callable[[], Formats] = installed,
        *,
        is_shadow: bool = False,
        notice: Callable[[str, str], None] = lambda code, mode: None,
        open_routes: Collection[str] = (),
    ) -> None:
        self._known = known
        self._guesses = guesses
        self._seal = seal
        self._policies = policies
        self._formats = formats
        self._is_shadow = is_shadow
        self._notice = notice
        self._open_routes = frozenset(open_routes)
        self._refused: OrderedDict[str, Refusal] = OrderedDict()

    def admit(self, head: Head) -> Head:
        """Returns the head with its client, its tenant and no credential. Raises `DownstreamError` (401, 403, 429, 503); in
        shadow mode it returns the head without a client instead."""
        if head.route in self._open_routes:
            return head.changed(credential=NO_CREDENTIAL)
        try:
            return self._admitted(head)
        except DownstreamError as error:
            self._refuse(head, error)
            return head

    def _refuse(self, head: Head, error: DownstreamError) -> None:
        """Raises the error, but not in shadow mode."""
        self._notice(error.code, "shadow" if self._is_shadow else "enforce")
        self._refused[head.id] = Refusal(self.name, error.code, enforced=not self._is_shadow)
        if len(self._refused) > LIMIT_OPEN:
            self._refused.popitem(last=False)
        if not self._is_shadow:
            raise error

    def refusals(self, head: Head) -> tuple[Refusal, ...]:
        """Returns what was refused, or would have been. It can be called once."""
        refused = self._refused.pop(head.id, None)
        return (refused,) if refused else ()

    def _admitted(self, head: Head) -> Head:
        if not head.credential.secret and head.certificate is None:
            raise DownstreamError(ErrorCode.MISSING_CREDENTIAL)
        client = self._client(head)
        if not set(client.policies) <= set(self._policies() if client.policies else ()):
            # Without the policy, the request would be guarded less than the key demands.
            message = "the key demands a policy that is not in force"
            raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message)
        if client.models is not None and head.method not in _READ_ONLY and self._codec(head) is None:
            message = "the key allows certain models only, and the model of this route is not read"
            raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message)
        tenant = client.pseudonym(self._seal)
        return head.changed(client=client, tenant=tenant, tenant_name=client.tenant, credential=NO_CREDENTIAL)

    def plans(self, head: Head) -> bool:
        """Whether the client may name certain models only. Feedback names none."""
        return head.client.models is not None and head.route != FEEDBACK_ROUTE

    def plan(self, head: Head, request: Request) -> Plan | None:
        """Returns no plan. Raises `DownstreamError` (403) if the request names a model that the client may not name."""
        codec = self._codec(head)
        codec = codec.for_request(head.path, head.query) if codec is not None else None
        if head.client.models is not None and codec is not None and codec.contract.serves_models:
            try:
                self._check_models(head, request, codec)
            except DownstreamError as error:
                self._refuse(head, error)
        return None

    @staticmethod
    def _check_models(head: Head, request: Request, codec: Codec) -> None:
        statement = statement_of(request.frame.tree, codec.contract.statements)
        named = (request.model, *statement.models)
        names = list(dict.fromkeys(name.removeprefix("models/") for name in named if name))
        if not names or "model" in statement.unclear:
            message = "the key allows certain models only, and the request does not say clearly which model it means"
            raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message, "model")
        if (model := first_forbidden(head.client, names)) is not None:
            raise DownstreamError(ErrorCode.OUT_OF_SCOPE, f"the key does not allow the model `{model}`", "model")
        if field := statement.foreign:
            message = f"the key allows certain models only, and `{field}` is a field of no known meaning: leave it out"
            raise DownstreamError(ErrorCode.OUT_OF_SCOPE, message, field)

    def _codec(self, head: Head) -> Codec | None:
        return self._formats().codec_for(head.route)

    def _client(self, head: Head) -> KnownClient:
        """Returns the client of the credential. A right key is accepted whatever else its address sends: many clients may
        share an address. The signature of a new token is not looked at while the address has to wait."""
        secret, unix_s, known = head.credential.secret, head.unix_s, self._known()
        may_be_token = known.has_tokens and is_token(secret)
        if head.certificate is not None and not may_be_token and not prefix_of(secret):
            return self._certified(head.certificate, known.clients, unix_s)
        client = known.clients.client(secret, unix_s)
        if client is None and may_be_token and known.tokens:
            client = known.tokens.remembered(secret, unix_s)
        if client is not None:
            return client
        if wait_s := self._guesses.wait_s(head.address, unix_s):
            raise DownstreamError(ErrorCode.TOO_MANY_WRONG_KEYS, retry_s=wait_s)
        if may_be_token:
            if known.tokens is None:
                raise DownstreamError(ErrorCode.KEYS_UNAVAILABLE)
            client = known.tokens.client(secret, unix_s)
        if client is None:
            self._guesses.add(head.address, unix_s)
            raise DownstreamError(ErrorCode.UNKNOWN_CREDENTIAL)
        return client

    @staticmethod
    def _certified(certificate: KnownClient, clients: Clients, unix_s: float) -> KnownClient:
        """Returns the client of a certificate. A connection may outlive the certificate that opened it."""
        if certificate.until_s <= unix_s:
            raise DownstreamError(ErrorCode.EXPIRED_CREDENTIAL, "the client certificate has expired")
        client = clients.certified(certificate)
        if not client.identity:
            message = "the subject of the client certificate does not name one client and one tenant that may be used"
            raise DownstreamError(ErrorCode.UNKNOWN_CREDENTIAL, message)
        return client
