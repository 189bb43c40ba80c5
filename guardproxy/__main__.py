"""`python -m guardproxy` and the `guardproxy` command."""

from __future__ import annotations


def main() -> None:
    from guardproxy.cli import app  # noqa: PLC0415 - `import guardproxy` alone stays free of the command line

    app()


if __name__ == "__main__":
    main()
