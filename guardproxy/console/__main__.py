"""`python -m guardproxy.console`: the process of the console, which the proxy starts."""

from __future__ import annotations

import sys

from guardproxy import crashes


def main() -> None:
    """Runs the process. What it holds is private, so a crash must not write it anywhere."""
    crashes.hide_messages()
    crashes.refuse_core_files()
    try:
        from guardproxy.console.process import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("jinja2", "duckdb", "markupsafe"):
            raise
        sys.stderr.write("guardproxy: the packages of the console are missing: pip install 'guardproxy[console]'\n")
        sys.exit(2)
    try:
        sys.exit(run())
    except Exception as error:
        crashes.show(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
