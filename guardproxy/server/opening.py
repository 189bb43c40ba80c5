"""What a process needs of the system before it loads models: the addresses to listen on, and the folders that it uses.

In: settings. Out: bound sockets, or a `ConfigError` that names the setting and says what to do.

A bound socket refuses connections until `listen` is called, so clients and probes see a closed port while models are loaded.
"""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from guardproxy.audit import reason
from guardproxy.config import SETTINGS, Config
from guardproxy.errors import ConfigError, GuardproxyError, PolicyError

BACKLOG = 1024
UNSENT_BYTES = 128 * 1024  # that the kernel holds for a client beyond what is on its way
PORT_MOST = 65535
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a port of this process listens. `number`: is added to the port of the settings, if that is not 0. `is_shared`:
    whether other workers listen there too."""

    host: str
    port: int
    host_names: str
    port_names: str
    number: int = 0
    is_shared: bool = False

    @property
    def own_port(self) -> int:
        """The port to bind; 0 for any free port."""
        return self.port and self.port + self.number

    def overlaps(self, other: ListenAddress) -> bool:
        """Whether both cannot listen at the same time."""
        is_same_host = self.host == other.host or self.host in EVERYWHERE or other.host in EVERYWHERE
        return self.own_port != 0 and self.own_port == other.own_port and is_same_host


def client_address(config: Config, *, is_shared: bool = False) -> ListenAddress:
    """Returns the address for clients."""
    network = config.network
    host_names, port_names = SETTINGS["host"].names, SETTINGS["port"].names
    return ListenAddress(network.host, network.port, host_names, port_names, is_shared=is_shared)


def admin_address(config: Config, number: int = 0) -> ListenAddress:
    """Returns the address of the admin port of a process. `number`: that of the worker; the models have the one after the
    last worker."""
    network = config.network
    host_names, port_names = SETTINGS["admin_host"].names, SETTINGS["admin_port"].names
    return ListenAddress(network.admin_host, network.admin_port, host_names, port_names, number)


def adapter_address(config: Config) -> ListenAddress | None:
    """Returns the address for other gateways; `None` if there is none."""
    adapters = config.adapters
    names = SETTINGS["adapters"].names
    return None if adapters.port is None else ListenAddress(adapters.host, adapters.port, names, names)


def grpc_address(config: Config) -> ListenAddress | None:
    """Returns the address for other gateways that call by gRPC; `None` if there is none."""
    adapters = config.adapters
    names = SETTINGS["adapters_grpc"].names
    return None if adapters.grpc_port is None else ListenAddress(adapters.grpc_host, adapters.grpc_port, names, names)


def bound(address: ListenAddress, closing: ExitStack) -> list[socket.socket]:
    """Returns sockets that are bound and do not listen yet: one for each address that the host's name has. `::` is every
    address of this machine, those of IPv4 too. `closing`: closes them. Raises `ConfigError`."""
    port = address.own_port
    if port > PORT_MOST:
        raise ConfigError(
            f"{address.port_names}: process {address.number} would have the port {port}, and the highest is {PORT_MOST}: "
            "choose a lower one"
        )
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, place in _resolved(address.host, port, address.host_names):
        try:
            opened = _bound(family, (place[0], port, *place[2:]), address)
        except OSError as error:
            if error.errno in _ABSENT:  # a machine may have only one of the two addresses of `localhost`
                absent = error
                continue
            raise _fault(error, address) from None
        closing.callback(opened.close)
        sockets.append(opened)
        # If any free port will do, all addresses of the host get the same one.
        port = port or int(opened.getsockname()[1])
    if absent is not None and not sockets:
        raise _fault(absent, address)
    return sockets


def listen(sockets: Sequence[socket.socket], address: ListenAddress) -> None:
    """Lets bound sockets take connections. Raises `ConfigError`."""
    for opened in sockets:
        try:
            opened.listen(BACKLOG)
        except OSError as error:  # two processes were started at the same time
            raise _fault(error, address) from None


def _resolved(host: str, port: int, names: str) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Returns the addresses of a host's name."""
    if host in ("", "::") and socket.has_dualstack_ipv6():
        return [(socket.AF_INET6, ("::", port))]
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise ConfigError(
            f"{names}: `{host}` is neither an address nor a name that can be resolved{reason}: give an address of this "
            "machine, like 127.0.0.1, or 0.0.0.0 for all"
        ) from None
    return [(family, tuple(place)) for family, _, _, _, place in dict.fromkeys(found)]


def _bound(family: socket.AddressFamily, place: tuple[object, ...], address: ListenAddress) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier process may linger
        if family == socket.AF_INET6:
            is_every = address.host in ("", "::")
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_every)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # each connection inherits it; otherwise a slow reader takes megabytes
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if address.is_shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(place)
    except BaseException:
        opened.close()
        raise
    return opened


def _fault(error: OSError, address: ListenAddress) -> ConfigError:
    """Returns what the operator can do about an address that cannot be listened on."""
    host, port = address.host, address.own_port
    if error.errno == errno.EADDRINUSE:
        own = f" (`{address.port}` plus the number of the process)" if address.number else ""
        message = (
            f"{address.port_names}: port {port}{own} of {host or 'this machine'} is in use: end the process that has it"
        )
        return ConfigError(f"{message}, or choose another port")
    if error.errno in _ABSENT:
        message = (
            f"{address.host_names}: `{host}` is not an address of this machine: give one that it has, like 127.0.0.1"
        )
        return ConfigError(f"{message}, or 0.0.0.0 for all")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigError(
            f"{address.port_names}: this user may not listen on port {port}: choose a port from 1024 on, or allow it "
            "(CAP_NET_BIND_SERVICE)"
        )
    return ConfigError(f"{address.port_names}: cannot listen on {host}:{port}: {reason(error)}")


def addresses_of(config: Config) -> list[ListenAddress]:
    """Returns the addresses of all processes of the server: those for clients and for other gateways where there are any, that
    of each worker's admin port, and that of the process that runs the models. Raises `ConfigError` if two of them are the
    same."""
    count = config.workers.count + (config.workers.count > 1 and config.models.has_own_process)
    admins = [admin_address(config, number) for number in range(count)]
    clients = [client_address(config)] if config.has_client_port else []
    for admin in admins:
        for address in clients:
            if admin.overlaps(address):
                raise ConfigError(
                    f"{admin.port_names}: port {admin.own_port} is that for clients too ({address.port_names}): choose another"
                )
    gateways = [address for address in (adapter_address(config), grpc_address(config)) if address]
    for number, address in enumerate(gateways):
        for other in (*clients, *admins, *gateways[:number]):
            if address.overlaps(other):
                raise ConfigError(
                    f"{address.port_names}: port {address.own_port} is another port of the proxy too ({other.port_names}): "
                    "choose another"
                )
    return [*clients, *gateways, *admins]


def check_ports(config: Config) -> None:
    """Raises `ConfigError` if a port of any process of the server is not free."""
    addresses = addresses_of(config)
    # Not shared: another server, whose workers share the port, is found too.
    with ExitStack() as stack:
        for address in addresses:
            bound(address, stack)


def check_folders(config: Config) -> None:
    """Makes the folder of the audit log if it is missing. Raises `ConfigError` if it cannot be written, or if the folder of
    models is none."""
    with naming("audit", hint="choose a folder that this user can write"):
        config.audit.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.audit.folder):
            pass
    if config.models.folder is not None:
        with naming("models", hint="give a folder with model folders"):
            next(config.models.folder.iterdir(), None)


@contextmanager
def naming(*settings: str, hint: str = "") -> Iterator[None]:
    """Turns the errors of a start into `ConfigError` with the names of the settings that lead to it. A `PolicyError` names its
    file. `hint`: what to do, after an error of the system."""
    names = ", ".join(SETTINGS[name].names for name in settings)
    try:
        yield
    except PolicyError:
        raise
    except GuardproxyError as error:
        raise ConfigError(f"{names}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{names}: {_said(error)}{hint and ': ' + hint}") from None


@contextmanager
def starting(config: Config) -> Iterator[None]:
    """Turns an error of the system that a start did not expect into a `ConfigError`. It names the setting whose path the error
    is about, if there is one."""
    try:
        yield
    except OSError as error:
        about = _setting_of(config, error)
        raise ConfigError(f"{about and about + ': '}cannot start: {_said(error)}") from None


def _said(error: OSError) -> str:
    """Returns an error of the system in words, with the file that it is about."""
    return f"{error.filename}: {reason(error)}" if error.filename else reason(error)


def _setting_of(config: Config, error: OSError) -> str:
    """Returns the names of the setting whose path an error is about; empty if there is none."""
    if not isinstance(error.filename, str):
        return ""
    about = Path(error.filename)
    for declared in SETTINGS.values():
        value = declared.value_in(config)
        for entry in value if isinstance(value, tuple) else (value,):
            match = declared.path.fullmatch(str(entry)) if declared.path and entry else None
            if match and (about == Path(match["path"]) or Path(match["path"]) in about.parents):
                return declared.names
    return ""
