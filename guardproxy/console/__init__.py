"""The reviewers' console: pages that show what was decided and why, try a change, and sign it off.

| part | content |
|---|---|
| `contract` | what a page declares, and what it gets of a request |
| `pages/` | a folder for each page; the table of all pages |
| `access/` | who may come in: logins, sessions, forged requests, sign-in at an identity provider |
| `index/` | finds exchanges in the log |
| `inforce` | the policies that are served, loaded once for all pages |
| `look/` | the frame of pages, macros, the style sheet, scripts |
| `application` | the aiohttp application of the console |
| `starting` | how the proxy starts the process of the console |
| `process` | the process that serves it on a socket |

It runs in a process of its own, which the proxy starts. The admin port forwards `/console/` to it. Nothing here is imported by
the proxy, and the packages of the console (`jinja2`, `duckdb`) are imported in that process alone.
"""

from guardproxy.console.access.logins import LoginFile, load_logins, new_token, write_logins
from guardproxy.console.access.people import ROLES, Login, role_of
from guardproxy.console.starting import are_packages_installed

__all__ = [
    "ROLES",
    "Login",
    "LoginFile",
    "are_packages_installed",
    "load_logins",
    "new_token",
    "role_of",
    "write_logins",
]
