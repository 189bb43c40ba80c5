"""The settings of the audit log."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from guardproxy.config.declaration import POSITIVE, AllowedValues, setting

KEY_CHARS = 16
COPY_HEADER_FORM = re.compile(r"[^=/@]+=[A-Za-z0-9-]+=(env|file):.+")
SHIP_TARGET_FORM = re.compile(r"-|(https?|s3|gs|az|file|kafka)://[^@]+")
SEAL_KEY_FORM = re.compile(r"(file|env|command):.+")
# Which values name files; each ends with the path.
PRIVATE_KEY_PATH = re.compile(r"(?!PRIVATE\+KEY\+)(?P<path>.+)")
PUBLIC_KEY_PATH = re.compile(r"(?![!-*,-~]+\+[0-9a-f]{8}\+)(?P<path>.+)")
SOURCE_PATH = re.compile(r"(?:[^=/@]+=[A-Za-z0-9-]+=)?file:(?P<path>.+)")
COPY_PATH = re.compile(r"(?!stdout$|[A-Za-z][A-Za-z0-9+.-]*://)(?P<path>.+)")


def is_key(entry: str) -> bool:
    return not entry or len(entry) >= KEY_CHARS


SEAL_KEY = AllowedValues(
    form="`file:PATH`, `env:NAME` or `command:COMMAND`",
    is_right=lambda entry: SEAL_KEY_FORM.fullmatch(entry) is not None,
)
SHIP_TARGET = AllowedValues(
    form="`-` or a URL that begins with http, https, s3, gs, az, file or kafka, without credentials",
    is_right=lambda entry: SHIP_TARGET_FORM.fullmatch(entry) is not None,
)
COPY_HEADER = AllowedValues(
    form="like collector.example=Authorization=env:COPY_TOKEN",
    is_right=lambda entry: COPY_HEADER_FORM.fullmatch(entry) is not None,
)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The settings of the audit log. Sizes are in bytes, times in seconds."""

    folder: Path = setting("audit", Path("audit"), "The folder of the audit log.")
    sink: tuple[str, ...] = setting(
        "audit_sink", (), "A plug-in's sink that gets the lines of the log in addition to the file."
    )
    ship: tuple[str, ...] = setting(
        "audit_ship",
        (),
        "Where the lines of the log are sent: a target of `guardproxy audit ship`, which runs in a process of its own and is "
        "started again if it ends.",
        SHIP_TARGET,
    )
    sign_key: str = setting(
        "audit_key",
        "",
        "The private key that signs checkpoints of the log: a file outside the audit folder, or the key itself. "
        "`guardproxy audit keygen` makes one.",
        is_secret=True,
        path=PRIVATE_KEY_PATH,
    )
    sign_command: str = setting(
        "audit_sign_command",
        "",
        "A command that signs instead, such as the client of a key service: the text comes on its standard input, the "
        "Ed25519 signature goes to its standard output as base64. Needs `audit_public_key`.",
    )
    public_key: str = setting(
        "audit_public_key",
        "",
        "The public key for the signatures of `audit_sign_command`: the key or its file.",
        path=PUBLIC_KEY_PATH,
    )
    former_key: tuple[str, ...] = setting(
        "audit_former_key",
        (),
        "A public key that signed earlier checkpoints, after a change of the key: the key or its file.",
        path=PUBLIC_KEY_PATH,
    )
    checkpoint_s: float = setting(
        "audit_checkpoint_s",
        10.0,
        "Seconds between two checkpoints. They are also made while no request comes.",
        POSITIVE,
    )
    copy: tuple[str, ...] = setting(
        "audit_copy",
        (),
        "Where checkpoints are copied to: `stdout`, a file, a URL that gets a POST, or an object store (`s3://BUCKET/PREFIX`, "
        "`gs://`, `az://`, `file:///FOLDER`). Choose a place where those who can write the audit folder cannot.",
        path=COPY_PATH,
    )
    copy_header: tuple[str, ...] = setting(
        "audit_copy_header",
        (),
        "`HOST=HEADER=SOURCE`: a header for copies that go to a host over HTTP. The source of its value is `env:NAME` or "
        "`file:PATH`.",
        COPY_HEADER,
        path=SOURCE_PATH,
    )
    rotate_bytes: int = setting(
        "audit_rotate_bytes",
        256 * 1024 * 1024,
        "The size at which a log continues in a new file. 0: no limit.",
        AllowedValues(least=0),
    )
    rotate_s: float = setting(
        "audit_rotate_s", 0.0, "The age at which a log continues in a new file. 0: no limit.", AllowedValues(least=0)
    )
    retain_s: float = setting(
        "audit_retain_s",
        0.0,
        "The time after which a log that has not grown is removed. 0: never. Needs `audit_key` or "
        "`audit_sign_command`, because a signed checkpoint names what is removed.",
        AllowedValues(least=0),
    )
    placeholder_key: str = setting(
        "key",
        "",
        "The secret for placeholders and pseudonyms. Without it, a random key is created and kept in the audit folder.",
        AllowedValues(form="at least 16 characters long", is_right=is_key),
        is_secret=True,
    )
    seal_key: tuple[str, ...] = setting(
        "seal_key",
        (),
        "Where the operator's key comes from, for policies with `keep: sealed`: `file:PATH`, `env:NAME` or "
        "`command:COMMAND`. With several, the first that opens the key store is used.",
        SEAL_KEY,
        path=SOURCE_PATH,
    )
    seal_store: Path | None = setting(
        "seal_store", None, "The key store of sealed texts. Without it, `seal.keys` in the audit folder."
    )
    receipts: str = setting(
        "receipts",
        "on",
        "Whether answers have a receipt that lists what was inspected.",
        AllowedValues(choices=("on", "off")),
    )

    @property
    def copy_hosts(self) -> set[str]:
        """Returns the hosts, with their ports, that get copies of checkpoints over HTTP."""
        return {
            rest.partition("/")[0].partition("?")[0].lower()
            for target in self.copy
            for scheme, mark, rest in [target.partition("://")]
            if mark and scheme.lower() in ("http", "https")
        }
