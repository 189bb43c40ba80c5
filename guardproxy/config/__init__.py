"""Settings of a process: declared once, read once, frozen.

| module | what it holds |
|---|---|
| `settings` | `Config`: each field is one setting |
| `declaration` | the declaration of a setting, from which the flag, the variable and the key are derived |
| `loading` | reads flags, the environment and the TOML file |
"""

from guardproxy.config.declaration import Declaration
from guardproxy.config.loading import load, shipped
from guardproxy.config.settings import SETTINGS, Config

__all__ = ["SETTINGS", "Config", "Declaration", "load", "shipped"]
