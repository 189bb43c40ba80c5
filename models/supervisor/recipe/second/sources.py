"""What each public set says of the parts: its rows as training rows.

In: the rows of one file. Out: for each row its text, targets, channel and span. Sets under terms that forbid shipping (`-nc`)
and sets whose repository states no licence are not here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models.supervisor.recipe import sources as first
from models.supervisor.recipe.second.outputs import JAILBREAK, KINDS, Row, Targets, make_row, targets, to_parts

FINE = targets()
PLAIN: Targets = {"override": 0, "extraction": 0, "order": 0, JAILBREAK: 0}
"""No attack, of whatever content."""
BARE: Targets = PLAIN | {"wrapper": 0, "obfuscation": 0}
"""A plain request or remark: no attack and no wrapper."""
CALM: Targets = BARE | {"hate": 0, "harassment": 0, "harmful": 0}
"""A post that readers found neither hateful nor offensive, often in the register of posts that are."""
STAGED: Targets = {name: value for name, value in FINE.items() if name != "wrapper"}
"""Harmless; whether it is a role play is left open."""
ATTACK: Targets = {JAILBREAK: 1}
ORDER: Targets = {"order": 1}

Reader = Callable[[Iterable[Row]], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to train on. `harmful`, `harmless`: most rows of each; `repeats`: how often each is taken."""

    name: str
    reader: Reader
    harmful: int
    harmless: int
    repeats: int = 1


def harm(kind: str) -> Targets:
    return {kind: 1, "harmful": 1}


def constant(found: Targets, channel: str = "user") -> Reader:
    """The same targets for each row."""

    def read(rows: Iterable[Row]) -> Iterator[Row]:
        for given in rows:
            yield make_row(given["text"], found, "", channel)

    return read


def prompts_and_answers(found: Targets) -> Reader:
    """The same targets for each row, a prompt of a user or an answer."""

    def read(rows: Iterable[Row]) -> Iterator[Row]:
        for given in rows:
            yield make_row(given["text"], found, "", "assistant" if given["kind"] == "answer" else "user")

    return read


def binary(bad: Targets, fine: Targets, channel: str = "user") -> Reader:
    """Targets by the label."""

    def read(rows: Iterable[Row]) -> Iterator[Row]:
        for given in rows:
            yield make_row(given["text"], bad if given["label"] else fine, "", channel)

    return read


def by_category(known: dict[str, Targets], fine: Targets) -> Reader:
    """Targets by the category, for harmful rows; a category that is not known is skipped."""

    def read(rows: Iterable[Row]) -> Iterator[Row]:
        for given in rows:
            if not given["label"]:
                yield make_row(given["text"], fine, "")
            elif given["category"] in known:
                yield make_row(given["text"], known[given["category"]], "")

    return read


def first_generation(reader: first.Reader, channel: str = "user") -> Reader:
    """A reader of the first generation, its targets in terms of parts."""

    def read(rows: Iterable[Row]) -> Iterator[Row]:
        for text, found, span in reader(rows):
            yield make_row(text, to_parts(found), "", channel, span)

    return read


def synth_direct(rows: Iterable[Row]) -> Iterator[Row]:
    """The category names the manner: an override, a persona or a request for the prompt; a disguise follows its name."""
    manners = {"instruction_override": "override", "prompt_extraction": "extraction"}
    for given in rows:
        if not given["label"]:
            yield make_row(given["text"], FINE, "")
            continue
        category, _, disguise = given["category"].partition("_leet")
        found = dict(ATTACK)
        for name, part in manners.items():
            if category.startswith(name):
                found[part] = 1
        is_disguised = bool(disguise) or given["category"].endswith(("leet", "base64", "zerowidth"))
        yield make_row(given["text"], found | {"obfuscation": int(is_disguised)}, "")


def rules(rows: Iterable[Row]) -> Iterator[Row]:
    """Rules as a system prompt and as an attack; words of attacks in harmless use; role play with both kinds of requests."""
    for given in rows:
        category = given["category"]
        if category == "system prompt":
            yield make_row(given["text"], STAGED, "", "system")
        elif category.startswith("role-play"):
            yield make_row(given["text"], {"wrapper": 1, **(ATTACK if given["label"] else FINE | {"wrapper": 1})}, "")
        else:
            found = ATTACK | ({"override": 1} if category == "rules as an attack" else {})
            yield make_row(given["text"], found if given["label"] else STAGED, "")


def fiction(rows: Iterable[Row]) -> Iterator[Row]:
    """A wrapper in both classes; what is asked decides."""
    for given in rows:
        bad = {"wrapper": 1, "harmful": 1, JAILBREAK: 1}
        yield make_row(given["text"], bad if given["label"] else FINE | {"wrapper": 1}, "")


def noisy_texts(rows: Iterable[Row]) -> Iterator[Row]:
    """Disturbed attacks and harmless texts."""
    slips = ("typo", "case", "shout", "shorthand", "punctuation")
    for given in rows:
        is_slip = any(name in given["category"] for name in slips)
        found: Targets = {} if is_slip else {"obfuscation": 1}
        fine = {name: value for name, value in STAGED.items() if name != "obfuscation"}
        yield make_row(given["text"], found | (ATTACK if given["label"] else fine), "")


def noisy_content(rows: Iterable[Row]) -> Iterator[Row]:
    fine = {name: value for name, value in FINE.items() if name != "obfuscation"}
    for given in rows:
        yield make_row(given["text"], {"harmful": 1, "override": 0, "extraction": 0} if given["label"] else fine, "")


def paired_documents(rows: Iterable[Row]) -> Iterator[Row]:
    """Twins of one carrier: the attack lies where they differ."""
    twins: dict[Any, dict[int, str]] = defaultdict(dict)
    for given in rows:
        twins[given["pair"]][given["label"]] = given["text"]
    for pair in twins.values():
        if len(pair) == 2:
            bad, fine = pair[1], pair[0]
            start = next((at for at, (a, b) in enumerate(zip(bad, fine, strict=False)) if a != b), 0)
            tail = next((at for at, (a, b) in enumerate(zip(bad[::-1], fine[::-1], strict=False)) if a != b), 0)
            yield make_row(bad, ORDER, "", "tool_result", [start, max(start + 1, len(bad) - tail)])
            yield make_row(fine, FINE, "", "tool_result")


def planted_attacks(rows: Iterable[Row]) -> Iterator[Row]:
    """Tool answers with the attack named beside them."""
    for given in rows:
        at = given["text"].find(given["attack"]) if given["label"] and given.get("attack") else -1
        span = [at, at + len(given["attack"])] if at >= 0 else None
        yield make_row(given["text"], ORDER if given["label"] else FINE, "", "tool_result", span)


def kits(rows: Iterable[Row]) -> Iterator[Row]:
    """Red-team kits, but for copyleft parts, parts without a licence and ciphers that no small network reads."""
    for given in rows:
        source, category = given["source"], given["category"]
        if (
            "GPL" in source
            or "ChatGPT_DAN" in source
            or category.startswith(("encoded: b", "encoded: h", "encoded: r"))
        ):
            continue
        if not given["label"]:
            yield make_row(given["text"], STAGED, "")
        elif given["kind"] == "document":
            yield make_row(given["text"], ORDER, "", "tool_result")
        else:
            yield make_row(given["text"], ATTACK | ({"obfuscation": 1} if "encoded" in category else {}), "")


def stories(rows: Iterable[Row]) -> Iterator[Row]:
    """Cover stories are wrappers, suffixes are disguises; both hide a harmful request."""
    for given in rows:
        part = "wrapper" if "story" in given["category"] else "obfuscation"
        yield make_row(given["text"], ATTACK | {part: 1, "harmful": 1}, "")


def edos(rows: Iterable[Row]) -> Iterator[Row]:
    """What is not sexist may be rude in other ways: only `hate` is known of it."""
    for given in rows:
        threat = {"violence": 1, "harassment": 1} if "threat" in given["categories"] else {}
        yield make_row(given["text"], BARE | (harm("hate") | threat if given["label"] else {"hate": 0}), "")


def social_frames(rows: Iterable[Row]) -> Iterator[Row]:
    """Posts that nobody finds offensive, and posts that most find sexual."""
    for given in rows:
        if not given["label"]:
            yield make_row(given["text"], CALM, "")
        elif float(given["sexual"]) >= 0.6:
            yield make_row(given["text"], BARE | harm("sexual"), "")


def judged_answers(rows: Iterable[Row]) -> Iterator[Row]:
    known = {"hate_speech": "hate", "hate": "hate", "violence": "violence", "self_harm": "self_harm", "sexual": "sexual",
             "exploits": "illicit", "illegal": "illicit"}  # fmt: skip
    for given in rows:
        if not given["label"]:
            yield make_row(given["text"], FINE, "", "assistant")
        elif given["category"] in known:
            channel = "assistant" if given["kind"] == "answer" else "user"
            yield make_row(given["text"], BARE | harm(known[given["category"]]), "", channel)


def harmful_answers(rows: Iterable[Row]) -> Iterator[Row]:
    for given in rows:
        yield make_row(given["text"], BARE | harm("illicit") if given["label"] else FINE, "", "assistant")


ALL = 1_000_000
"""All harmless rows of a source: written by people, or pairs."""
KIND_OF = {kind: BARE | harm(kind) for kind in KINDS}
TRAINING: tuple[Source, ...] = (
    Source("injection/synth_direct", synth_direct, 1500, 1338),
    Source("injection/synth_indirect", first_generation(first.synthetic_documents, "tool_result"), 1600, 1600),
    Source("injection/neuralchemy", first_generation(first.neuralchemy), 2600, 600),
    Source("injection/jailbreak_templates_filled", constant(ATTACK | {"wrapper": 1}), 931, 0),
    Source("injection/verazuo_jailbreaks", constant(ATTACK), 1015, 0, 2),
    Source("injection/deepset_train", binary(ATTACK, FINE), 157, 320, 2),
    Source("injection/bipia_train_in_context", first_generation(first.bipia, "tool_result"), 1200, 670),
    Source("injection/chatgpt_role_prompts", constant(FINE | {"wrapper": 1}), 0, 150, 4),
    Source("injection/templated_benign_security", constant(FINE), 0, 250),
    Source("injection/gandalf_safeguard_mixed", constant(ATTACK), 911, 0),
    Source("injection/hackaprompt_sample", constant(ATTACK), 135, 0, 2),
    Source("injection/satml_ctf", constant(ATTACK), 900, 0),
    Source("injection/redteam_kits", kits, 600, 125),
    Source("injection/jbb_artifacts", stories, 340, 0, 2),
    Source("injection/pyrit_templates_filled", constant(ATTACK | {"wrapper": 1, "harmful": 1}), 173, 0, 2),
    Source("injection/wildjailbreak_eval", fiction, 427, 205, 2),
    Source("injection/counterfactual_fiction", fiction, 420, 420, 2),
    Source("injection/counterfactual_rules", rules, 1569, 1568),
    Source("injection/counterfactual_tool_outputs", paired_documents, 900, 900),
    Source("injection/counterfactual_noise", noisy_texts, 1186, 1167),
    Source("injection/injecagent", planted_attacks, 700, 510),
    Source("injection/agent_security_bench", planted_attacks, 400, 91),
    Source("injection/llmail_inject", constant(ORDER, "tool_result"), 1200, 0),
    Source("content/harmful_prompts_mixed", first_generation(first.harmful_prompts), 2000, 0),
    Source("content/aart", constant(BARE | harm("illicit")), 700, 0),
    Source("content/multijail", constant(BARE | {"harmful": 1}), 500, 0),
    Source("content/counterfactual_requests", by_category(KIND_OF, FINE), 1422, 1955),
    Source("content/counterfactual_groups", by_category(KIND_OF, FINE), 995, ALL),
    Source("content/counterfactual_noise", noisy_content, 979, 980),
    Source("content/davidson_hate_offensive", first_generation(first.davidson), 1000, ALL),
    Source("content/edos_train_dev", edos, 3000, ALL),
    Source("content/vicomtech_stormfront", first_generation(first.stormfront), 900, ALL),
    Source(
        "content/gab_hate_corpus",
        by_category({"hate": BARE | harm("hate"), "violence call": BARE | harm("violence")}, CALM),
        900,
        ALL,
    ),
    Source("content/hatemoji_build", binary(BARE | harm("hate"), CALM), 900, ALL),
    Source("content/toxigen_demonstrations", binary(BARE | harm("hate"), CALM), 415, 339),
    Source("content/identity_madlibs", binary(BARE | harm("harassment"), CALM), 250, 250),
    Source("content/toxic_spans", first_generation(first.toxic_comments), 1500, ALL),
    Source("content/wikipedia_talk", binary(BARE | harm("harassment"), CALM), 207, ALL),
    Source("content/sbic_dev", social_frames, 400, ALL),
    Source("content/gptfuzz_responses", harmful_answers, 700, ALL),
    Source("content/pyrit_harm", judged_answers, 345, 100, 2),
    Source("content/sexting", constant(BARE | harm("sexual")), 138, 0, 3),
    Source("content/bbq_contexts", constant(FINE), 0, 500),
    Source("content/caia_safe_sensitive", prompts_and_answers(FINE), 0, ALL),
    Source("content/coconot", constant(FINE), 0, 1902),
    Source("content/counsel_chat", prompts_and_answers(FINE), 0, ALL),
    Source("benign/agent_user_requests", constant(FINE), 0, ALL),
    Source("benign/chitchat", constant(FINE), 0, 600),
    Source("benign/fabric_patterns", constant(STAGED, "system"), 0, 232),
    Source("benign/flowgpt_prompts", constant(STAGED), 0, 2400),
    Source("benign/gpts_system_prompts", constant(STAGED, "system"), 0, 900),
    Source("benign/gsm8k", constant(FINE), 0, 300),
    Source("benign/nl2bash", constant(FINE), 0, 500),
    Source("benign/nq_open", constant(FINE), 0, 500),
    Source("benign/p3_prompts", constant(FINE), 0, 2200),
    Source("benign/repo_docs_code", constant(FINE, "tool_result"), 0, 900),
    Source("benign/tool_outputs", constant(FINE, "tool_result"), 0, 1100),
    Source("benign/wikianswers_questions", constant(FINE), 0, 1700),
    Source("benign/writingbench_queries", constant(FINE), 0, 600),
    Source("pii/synth_pii", constant(FINE, "tool_result"), 0, 600),
    Source("pii/contextual_anonymizer", constant(FINE), 0, 300),
)
"""Own pairs and harmless texts that look like harmful ones are taken whole; templated sets are capped. See `balance.PLENTY`."""
