"""`guardproxy serve`: the proxy, in one process or several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardproxy.errors import GuardproxyError


def serve(
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            help="The model's API: a URL, or `openai=URL` and `anthropic=URL` for one provider each; "
            "`NAME=URL` for one that policies fall back to."
        ),
    ] = None,
    upstream_key: Annotated[
        list[str] | None, typer.Option(help="`NAME=KEY`: the key for an upstream that policies fall back to.")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or one that is shipped: strict, ...")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings; flags win over it.")] = None,
    host: Annotated[str | None, typer.Option(help="Where to listen. Default: 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="The clients' port. Default: 8080; 0 picks one.")] = None,
    admin_host: Annotated[str | None, typer.Option(help="Where the admin port listens. Default: 127.0.0.1")] = None,
    admin_port: Annotated[
        int | None, typer.Option(help="/livez /readyz /metrics /reload. Default: 9090; worker N gets 9090 + N.")
    ] = None,
    audit: Annotated[Path | None, typer.Option(help="The folder of the audit log. Default: audit")] = None,
    audit_sink: Annotated[
        list[str] | None, typer.Option(help="A sink of another package that gets the lines of the log as well.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. Default: 1")] = None,
    pass_through: Annotated[
        list[str] | None, typer.Option(help="A route that goes on unread, like `GET /v1/models` (the default).")
    ] = None,
    quiet_s: Annotated[
        float | None, typer.Option(help="Seconds between signs of life while an answer is held back. Default: 10")
    ] = None,
    reload_s: Annotated[
        float | None,
        typer.Option(
            help="Seconds between looks at the policies' folder; 0: only on SIGHUP or POST /reload. Default: 2"
        ),
    ] = None,
    remote_check_host: Annotated[
        list[str] | None,
        typer.Option(help="A host that checks may send texts to (`use: http`), like dlp.example:8443."),
    ] = None,
    tenant: Annotated[
        list[str] | None,
        typer.Option(
            help="`NAME=sha256:HEX`: what policies call the owner of a credential; see `guardproxy tenant digest`."
        ),
    ] = None,
    unknown_tenant: Annotated[
        str | None, typer.Option(help="allow or refuse: a credential that has no name. Default: allow")
    ] = None,
    trusted_hop: Annotated[
        list[str] | None,
        typer.Option(
            help="A network like 10.0.0.0/8 whose requests may name their conversation and language in headers."
        ),
    ] = None,
    request_header: Annotated[
        list[str] | None, typer.Option(help="One more header of requests that goes on, with any value.")
    ] = None,
    duty: Annotated[
        list[str] | None, typer.Option(help="A duty that another package brings, like a limit; they run in this order.")
    ] = None,
    answer_header: Annotated[list[str] | None, typer.Option(help="One more header of answers that goes on.")] = None,
    allow_code: Annotated[
        bool | None, typer.Option("--allow-code/--no-code", help="Let policies import classes that they name.")
    ] = None,
    receipts: Annotated[
        str | None, typer.Option(help="on or off: whether answers say what was looked at. Default: on")
    ] = None,
    supervisor_url: Annotated[
        str | None,
        typer.Option(help="A server that speaks KServe v2 (Triton, onnxruntime-server) and runs the models."),
    ] = None,
    supervisor_shared: Annotated[
        bool | None,
        typer.Option(
            "--supervisor-shared/--supervisor-each",
            help="With several workers: one process runs the models for all (the default), or each has its own.",
        ),
    ] = None,
    limit_connections: Annotated[
        int | None,
        typer.Option(help="Open client connections. Default: 0, which is what the limit of file descriptors allows."),
    ] = None,
    breaker_failures: Annotated[
        int | None,
        typer.Option(help="Failures in a row that open an upstream's circuit breaker. Default: 5; 0 for no breaker."),
    ] = None,
    readyz_upstreams: Annotated[
        bool | None,
        typer.Option(
            "--readyz-upstreams/--no-readyz-upstreams",
            help="/readyz fails while the circuit breaker of every upstream is open. Default: no",
        ),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug prints every exchange's transcript.")] = None,
) -> None:
    """Guard an LLM endpoint: clients change their base URL to this one and nothing else.

    Every setting can also come from GUARDPROXY_<NAME> (GUARDPROXY_UPSTREAM, GUARDPROXY_KEY, GUARDPROXY_LIMIT_BODY_BYTES).
    """
    from guardproxy import config as settings  # noqa: PLC0415

    flags: dict[str, Any] = {
        "upstream": tuple(upstream) if upstream else None,
        "upstream_key": tuple(upstream_key) if upstream_key else None,
        "policies": policies,
        "host": host,
        "port": port,
        "admin_host": admin_host,
        "admin_port": admin_port,
        "audit": audit,
        "audit_sink": tuple(audit_sink) if audit_sink else None,
        "workers": workers,
        "pass_through": tuple(pass_through) if pass_through else None,
        "quiet_s": quiet_s,
        "reload_s": reload_s,
        "remote_check_host": tuple(remote_check_host) if remote_check_host else None,
        "tenants": tuple(tenant) if tenant else None,
        "unknown_tenant": unknown_tenant,
        "trusted_hop": tuple(trusted_hop) if trusted_hop else None,
        "request_header": tuple(request_header) if request_header else None,
        "duty": tuple(duty) if duty else None,
        "answer_header": tuple(answer_header) if answer_header else None,
        "allow_code": allow_code,
        "receipts": receipts,
        "supervisor_url": supervisor_url,
        "supervisor_shared": supervisor_shared,
        "limit_connections": limit_connections,
        "breaker_failures": breaker_failures,
        "readyz_upstreams": readyz_upstreams,
        "log_level": log_level,
    }
    try:
        found = settings.load(flags, file=config)
        if found.workers > 1:
            from guardproxy import server  # noqa: PLC0415

            raise typer.Exit(server.several(found))
        _one(found)
    except GuardproxyError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None


def _one(config: Any) -> None:
    import uvloop  # noqa: PLC0415

    from guardproxy import server  # noqa: PLC0415

    server.configure(config.log_level)
    uvloop.run(server.serve(config))
