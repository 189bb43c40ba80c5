"""`python -m guardproxy` and the `guardproxy` command."""

from __future__ import annotations

import sys

# These hold texts of exchanges in memory; the others read what their user wrote.
WITH_TEXTS = ("serve", "mcp", "demo", "scan", "replay", "audit")


def main() -> None:
    has_texts = sys.argv[1:2] and sys.argv[1] in WITH_TEXTS
    if sys.argv[1:2] in (
        ["serve"],
        ["mcp"],
    ):  # the import of the command line is slow, and a signal may arrive during it
        from guardproxy import signals  # noqa: PLC0415

        signals.install()
    from guardproxy.cli import app  # noqa: PLC0415 - `import guardproxy` alone stays free of the command line

    if not has_texts:
        try:
            app()
        except Exception as error:
            from guardproxy.cli.printing import show_trace  # noqa: PLC0415

            show_trace(error)
            sys.exit(1)
        return
    from guardproxy import crashes  # noqa: PLC0415

    crashes.hide_messages()
    if sys.argv[1] not in ("serve", "mcp"):  # which have a setting
        crashes.refuse_core_files()
    try:
        app()
    except Exception as error:
        crashes.show(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
