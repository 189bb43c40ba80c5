"""Another guardrail library, in an interpreter of its own, for `benchmarks/checks/scan.py`. Usage: `scan_peers.py NAME`.

Lines of JSON in, lines of JSON out. First goes out `{"version", "tasks", "switched_off"}`, or `{"reason"}` if the library
cannot be used. Then, for `{"task", "texts"}`, a list of `[objects, us]`: whether it objects to the text, and the processor time
of the call. Each library has its usual settings, but looks for the same kinds of personal data and the same words. Models that
it would download are replaced: a spaCy pipeline by a blank pipeline, which only cuts a text into words, and a recognizer of
names by nothing. This file imports nothing of guardproxy.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Scan = Callable[[str], bool]
Scans = dict[str, Scan]
PERSONAL, SECRETS, BANNED, ALL = "personal data", "secrets", "banned words", "all three"
ENTITIES = ["EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS"]
NAMES_OFF = "names of persons (models, which are off in all)"
PIPELINES = ("en_core_web_sm", "en_core_web_lg", "zh_core_web_sm")


def stand_ins(folder: Path) -> None:
    """Makes packages instead of spaCy's pipelines: blank ones of the same language."""
    for name in PIPELINES:
        (folder / name).mkdir()
        source = f"import spacy\n\n\ndef load(**options):\n    return spacy.blank({name[:2]!r})\n"
        (folder / name / "__init__.py").write_text(source)
        about = folder / f"{name}-3.8.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.8.0\n")
    sys.path.insert(0, str(folder))


def presidio(words: list[str]) -> tuple[Scans, list[str]]:
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = [{"lang_code": "en", "model_name": "en_core_web_lg"}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine)
    return {PERSONAL: lambda text: bool(analyzer.analyze(text, "en", entities=ENTITIES))}, [NAMES_OFF]


def llm_guard(words: list[str]) -> tuple[Scans, list[str]]:
    from llm_guard import scan_prompt
    from llm_guard.input_scanners import Anonymize, BanSubstrings, Secrets, anonymize
    from llm_guard.vault import Vault
    from presidio_analyzer import EntityRecognizer

    class Nothing(EntityRecognizer):  # instead of a model of 0.7 GB
        def load(self) -> None:
            pass

        def analyze(self, text: str, entities: Any, nlp_artifacts: Any) -> list[Any]:
            return []

    anonymize.get_transformers_recognizer = lambda **_: Nothing(["PERSON"])
    scanners = {
        PERSONAL: [Anonymize(Vault(), entity_types=list(ENTITIES))],
        SECRETS: [Secrets()],
        BANNED: [BanSubstrings(words)],
    }
    scanners[ALL] = [one for listed in list(scanners.values()) for one in listed]

    def scan(listed: list[Any]) -> Scan:
        return lambda text: not all(scan_prompt(listed, text)[1].values())

    others = "PromptInjection, Toxicity, BanTopics, Gibberish, Language, Sentiment, Code (models)"
    off = [NAMES_OFF, others, "TokenLimit (a download)"]
    return {task: scan(listed) for task, listed in scanners.items()}, off


def nemo(words: list[str]) -> tuple[Scans, list[str]]:
    from nemoguardrails import LLMRails, RailsConfig

    flows = {PERSONAL: ["detect sensitive data on input"], BANNED: ["regex check input"]}
    flows[ALL] = [*flows[PERSONAL], *flows[BANNED]]
    runner = asyncio.Runner()

    def scan(task: str) -> Scan:
        settings = {
            "sensitive_data_detection": {"input": {"entities": ENTITIES}},
            "regex_detection": {"input": {"patterns": [f"(?i)\\b{word}\\b" for word in words]}},
        }
        tree = {"models": [], "rails": {"config": settings, "input": {"flows": flows[task]}}}
        rails = LLMRails(RailsConfig.from_content(yaml_content=json.dumps(tree)))

        def run(text: str) -> bool:
            checked = runner.run(rails.check_async([{"role": "user", "content": text}]))
            return bool(checked.status.value == "blocked")

        return run

    off = [NAMES_OFF, "the rails that ask a model, and those of classifiers", "secrets (it has no such rail)"]
    return {task: scan(task) for task in flows}, off


def openai_guardrails(words: list[str]) -> tuple[Scans, list[str]]:
    from guardrails import instantiate_guardrails, load_config_bundle, run_guardrails

    listed = {
        PERSONAL: [{"name": "Contains PII", "config": {"entities": ENTITIES, "block": True}}],
        SECRETS: [{"name": "Secret Keys", "config": {}}],
        BANNED: [{"name": "Keyword Filter", "config": {"keywords": words}}],
    }
    listed[ALL] = [one for each in list(listed.values()) for one in each]
    runner = asyncio.Runner()

    def scan(task: str) -> Scan:
        made = instantiate_guardrails(load_config_bundle({"version": 1, "guardrails": listed[task]}))

        def run(text: str) -> bool:
            results = runner.run(run_guardrails(SimpleNamespace(), text, "text/plain", made, suppress_tripwire=True))
            return any(result.tripwire_triggered for result in results)

        return run

    return {task: scan(task) for task in listed}, [NAMES_OFF, "the guardrails that ask a model"]


PEERS: dict[str, tuple[str, Callable[[list[str]], tuple[Scans, list[str]]]]] = {
    "presidio": ("presidio-analyzer", presidio),
    "llm-guard": ("llm-guard", llm_guard),
    "nemo": ("nemoguardrails", nemo),
    "openai-guardrails": ("openai-guardrails", openai_guardrails),
}


def main() -> None:
    os.environ.update(NEMO_GUARDRAILS_TELEMETRY_ENABLED="0", DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", LOG_LEVEL="ERROR")
    warnings.simplefilter("ignore")
    out = os.dup(1)  # what a library prints is no answer
    os.dup2(2, 1)
    package, make = PEERS[sys.argv[1]]
    with os.fdopen(out, "w") as answers, tempfile.TemporaryDirectory() as folder:

        def say(value: Any) -> None:
            print(json.dumps(value), file=answers, flush=True)

        try:
            stand_ins(Path(folder))
            scans, off = make(json.loads(sys.argv[2]))
            for scan in scans.values():
                scan("to warm up, write to ada@example.org")
        except Exception as error:  # whatever keeps a peer from running is the reason to leave it out
            say({"reason": f"{type(error).__name__}: {error}"[:400]})
            return
        say({"version": version(package), "tasks": list(scans), "switched_off": off})
        for line in sys.stdin:
            asked = json.loads(line)
            say([_timed(scans[asked["task"]], text) for text in asked["texts"]])


def _timed(scan: Scan, text: str) -> list[Any]:
    begun = time.process_time_ns()
    found = scan(text)
    return [found, (time.process_time_ns() - begun) / 1000]


if __name__ == "__main__":
    main()
