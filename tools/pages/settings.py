"""The page of all settings, from their declarations."""

from __future__ import annotations

from guardproxy.config import SETTINGS, Declaration

HEAD = """# Settings

<!-- This page is generated: make pages -->

Every setting is a flag of `guardproxy serve`, an environment variable and a key of the TOML file that `--config` names. The
variable is `GUARDPROXY_` and the name in capitals: `limit_texts` is `GUARDPROXY_LIMIT_TEXTS`.

- **Precedence.** A flag wins over the environment, the environment over the file, the file over the default.
- **Units.** A name that ends in `_s` is in seconds, `_bytes` in bytes, `_chars` in characters.
- **Several values** (marked with a star): a flag that is repeated, a variable with commas, a list in TOML.
- **Switches**: `true` or `false`. The first flag turns one on, the second one off; neither takes a value.
- **Secrets** belong in the environment or in the file: other users of the machine can see flags.
- **Paths** in the file are relative to the folder of the file.
- **Faults**: with a wrong value, an unknown key in the file, or a misspelled variable, the proxy does not start (exit
  code 2). The messages name each place and the allowed values. `guardproxy serve --check` names every fault and starts
  nothing.
"""
COLUMNS = ("setting", "flag", "meaning", "default", "values")


def row(setting: Declaration) -> str:
    """The row of one setting."""
    star = "*" if setting.kind is tuple else ""
    flags = ", ".join(f"`{flag}`" for flag in (setting.flag, setting.off_flag) if flag)
    default = f"`{setting.shown_default}`" if setting.shown_default else ""
    return f"| `{setting.name}`{star} | {flags} | {setting.help} | {default} | {setting.form} |"


def page() -> str:
    """The whole page."""
    groups: dict[str, list[str]] = {}
    for setting in SETTINGS.values():
        groups.setdefault(setting.group, []).append(row(setting))
    head = (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")
    return "\n".join([HEAD, *("\n".join((f"## {group}", "", *head, *rows, "")) for group, rows in groups.items())])
