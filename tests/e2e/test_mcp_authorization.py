"""Authorization of MCP servers: it passes the proxy, so that the official SDK finds the authorization server and gets a token
for the right resource, or it ends at the proxy. No token reaches another server, a record or a log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.e2e.rig import PASS, Proxy, serve
from tests.e2e.test_mcp import JSON, initialize
from tests.kit import processes
from tests.kit.mcp_script import MODES
from tests.kit.mcp_server import address_of, build, held_port, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]
SECRET = "secret-of-the-client-9182"


class Login:
    """An authorization server. `mint`: makes a token for a resource; `asked`: the resources that tokens were asked for."""

    def __init__(self, mint: Callable[[str], str] = lambda resource: "tok-" + resource.encode().hex()) -> None:
        self.mint = mint
        self.asked: list[str] = []
        self.held = held_port()
        self.issuer = address_of(self.held)
        self.app = Starlette(
            routes=[
                Route("/.well-known/oauth-authorization-server", self.metadata),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    async def metadata(self, request: Request) -> Response:
        about = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }
        return JSONResponse(about)

    async def token(self, request: Request) -> Response:
        resource = str((await request.form()).get("resource", ""))
        self.asked.append(resource)
        return JSONResponse(
            {"access_token": self.mint(resource), "token_type": "Bearer", "expires_in": 600, "scope": "use"}
        )

    async def verify_token(self, token: str) -> AccessToken | None:
        if not token.startswith("tok-"):
            return None
        resource = bytes.fromhex(token.removeprefix("tok-")).decode()
        return AccessToken(token=token, client_id="client", scopes=["use"], resource=resource)


class Storage:
    """Keeps what the SDK learned, in memory."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


async def said(resource: str, login: Login, mode: str) -> str:
    """What a server says to a client that first has to get a token."""
    provider = ClientCredentialsOAuthProvider(resource, Storage(), "client", SECRET, issuer=login.issuer)
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30) as http,
        Client(streamable_http_client(resource, http_client=http), mode=mode) as client,
    ):
        result: Any = await client.call_tool("echo", {"text": "hello"})
        return str(result.content[0].text)


@pytest.mark.parametrize("mode", MODES)
def test_the_sdk_finds_its_way_to_a_token_for_the_right_resource(tmp_path: Path, mode: str) -> None:
    login, held = Login(), held_port()
    with ExitStack() as stack:
        stack.enter_context(serving(login.app, login.held))
        proxy = serve("", tmp_path, PASS, "--mcp", f"files={address_of(held)}/mcp", "--log-level", "debug")
        stack.callback(proxy.stop)
        resource = f"{proxy.url}/mcp/files"
        settings = AuthSettings(
            issuer_url=login.issuer,  # type: ignore[arg-type]
            resource_server_url=resource,  # type: ignore[arg-type]
            required_scopes=["use"],
            validate_token_resource=True,
        )
        app = build(auth=settings, token_verifier=login).streamable_http_app()
        stack.enter_context(serving(app, held))

        assert asyncio.run(said(resource, login, mode)) == "hello"
        assert login.asked == [resource]
        refused = initialize(resource)
        assert refused.status_code == 401
        metadata = f"{proxy.url}/.well-known/oauth-protected-resource/mcp/files"
        assert f'resource_metadata="{metadata}"' in refused.headers["www-authenticate"]
        about = httpx.get(metadata, timeout=30).json()
        assert (about["resource"], about["authorization_servers"]) == (resource, [login.issuer])
        assert initialize(resource, authorization="Bearer wrong").status_code == 401
    kept = "".join(path.read_text("utf-8") for path in [proxy.log, *proxy.audit.glob("*.jsonl")])
    assert "tok-" not in kept
    assert SECRET not in kept


def test_the_sdk_finds_the_issuer_of_the_tokens_that_end_at_the_proxy(tmp_path: Path) -> None:
    signing = Ed25519PrivateKey.generate()

    def mint(resource: str) -> str:
        claims = {"iss": login.issuer, "aud": "guard", "sub": "ann", "exp": int(time.time()) + 600}
        return jwt.encode(claims, signing, "EdDSA", {"kid": "k1"})

    login = Login(mint)
    public = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(signing.public_key()))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [{**public, "kid": "k1"}]}))
    with ExitStack() as stack:
        stack.enter_context(serving(login.app, login.held))
        url = stack.enter_context(serving(is_json=True))
        tokens = ("--jwt-keys", str(tmp_path / "keys.json"), "--jwt-issuer", login.issuer, "--jwt-audience", "guard")
        proxy = serve("", tmp_path, PASS, "--mcp", f"files={url}", *tokens)
        stack.callback(proxy.stop)
        resource = f"{proxy.url}/mcp/files"
        assert [asyncio.run(said(resource, login, mode)) for mode in MODES] == ["hello", "hello"]
        assert login.asked == [resource, resource]


class Listening:
    """A server that notes the headers of each request. `answer`: what it answers."""

    def __init__(self, answer: Response | None = None) -> None:
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.answer = answer
        self.app = Starlette(routes=[Route("/{rest:path}", self.take, methods=["GET", "POST", "DELETE"])])

    async def take(self, request: Request) -> Response:
        self.heads.append((request.url.path, dict(request.headers)))
        if self.answer is not None:
            return self.answer
        message = json.loads(await request.body() or b"{}")
        if request.method != "POST" or "id" not in message:
            return Response(status_code=405)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": {}}, headers={"mcp-session-id": "s-1"})

    @property
    def sent(self) -> str:
        return json.dumps(self.heads)


class Ending:
    """A proxy at which authorization ends, with three servers: `files` with a token of a file, `mail` with one of the settings,
    `open` without one."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.keys = folder / "keys"
        self.key, self.other = (processes.run("keys", "create", str(self.keys), name).stdout.strip() for name in "ab")
        self.file = folder / "token"
        self.file.write_text("token-of-files\n")
        self.servers = {name: Listening() for name in ("files", "mail", "open")}
        self.elsewhere = Listening()
        away = stack.enter_context(serving(self.elsewhere.app))
        self.servers["moved"] = Listening(RedirectResponse(away, 307))
        urls = {name: stack.enter_context(serving(server.app)) for name, server in self.servers.items()}
        self.proxy: Proxy = serve(
            "",
            folder,
            PASS,
            *(word for name, url in urls.items() for word in ("--mcp", f"{name}={url}")),
            *("--client-keys", str(self.keys), "--log-level", "debug", "--limit-wrong-keys", "0"),
            *(
                "--mcp-token",
                f"files=@{self.file}",
                "--mcp-token",
                "mail=token-of-mail",
                "--mcp-token",
                "moved=token-of-moved",
            ),
        )
        stack.callback(self.proxy.stop)

    def ask(self, name: str, key: str = "", **headers: str) -> httpx.Response:
        bearer = {"authorization": f"Bearer {key}"} if key else {}
        return initialize(f"{self.proxy.url}/mcp/{name}", **bearer, **headers)


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ending]:
    with ExitStack() as stack:
        yield Ending(stack, tmp_path_factory.mktemp("ending"))


def test_each_server_gets_its_own_token_and_no_key(ending: Ending) -> None:
    for name in ("files", "mail", "open"):
        assert ending.ask(name, ending.key).status_code == 200
        assert ending.key not in ending.servers[name].sent
    assert ending.servers["files"].heads[-1][1]["authorization"] == "Bearer token-of-files"
    assert ending.servers["mail"].heads[-1][1]["authorization"] == "Bearer token-of-mail"
    assert "authorization" not in ending.servers["open"].heads[-1][1]
    assert "token-of-files" not in ending.servers["mail"].sent + ending.servers["open"].sent


def test_a_redirect_is_not_followed(ending: Ending) -> None:
    assert ending.ask("moved", ending.key).status_code == 502
    assert ending.elsewhere.heads == []


def test_nobody_without_a_key_reaches_a_server(ending: Ending) -> None:
    before = {name: len(server.heads) for name, server in ending.servers.items()}
    for key in ("", "token-of-files", ending.key + "x", "gp-unknown"):
        answer = ending.ask("files", key)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["message"]
    path = f"{ending.proxy.url}/.well-known/oauth-protected-resource/mcp/files"
    assert httpx.get(path, timeout=30).status_code == 404  # keys of the proxy have no authorization server
    assert before == {name: len(server.heads) for name, server in ending.servers.items()}


def test_a_session_stays_with_the_key(ending: Ending) -> None:
    session = ending.ask("files", ending.key).headers["mcp-session-id"]
    headers = {**JSON, "mcp-session-id": session}
    url = f"{ending.proxy.url}/mcp/files"
    body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}

    def ping(key: str) -> int:
        return httpx.post(url, json=body, headers={**headers, "authorization": f"Bearer {key}"}, timeout=30).status_code

    assert ping(ending.key) == 200
    assert ending.servers["files"].heads[-1][1]["mcp-session-id"] == "s-1"
    assert ping(ending.other) == 404


def test_a_refused_token_of_the_proxy_is_no_word_for_the_client(ending: Ending) -> None:
    server = ending.servers["mail"]
    challenge = {"www-authenticate": 'Bearer error="invalid_token", error_description="token-of-mail"'}
    server.answer = JSONResponse({"error": "the token token-of-mail has expired"}, 401, challenge)
    try:
        answer = ending.ask("mail", ending.key)
    finally:
        server.answer = None
    assert answer.status_code == 502
    assert "token-of-mail" not in answer.text + str(answer.headers)


def test_no_secret_is_kept(ending: Ending) -> None:
    ending.ask("files", ending.key)
    kept = "".join(path.read_text("utf-8") for path in [ending.proxy.log, *ending.proxy.audit.glob("*.jsonl")])
    for secret in (ending.key, "token-of-files", "token-of-mail", "s-1."):
        assert secret not in kept
