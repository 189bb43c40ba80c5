"""`python -m guardproxy` and the `guardproxy` command."""

from __future__ import annotations

import sys


def main() -> None:
    if "serve" in sys.argv[1:2]:  # the import of the command line is slow, and a signal may arrive during it
        from guardproxy import signals  # noqa: PLC0415

        signals.install()
    from guardproxy.cli import app  # noqa: PLC0415 - `import guardproxy` alone stays free of the command line

    app()


if __name__ == "__main__":
    main()
