"""The questions of auditors that a report helps to answer, by law or standard.

In: the facts of a report. Out: for each provision the question, what the report shows, and what it cannot show. The words
follow the provisions; they are no legal advice.
"""

from __future__ import annotations

from typing import NamedTuple


class AuditFacts(NamedTuple):
    """The facts of a report as short texts, for the answers to questions."""

    exchanges: str
    period: str
    blocked: str
    redacted: str
    unread: str
    unknown: str
    gaps: str
    verified: str
    reach: str
    policies: str
    checks: str
    rules: str
    custody: str


class Provision(NamedTuple):
    """A provision. `shown` has the names of facts in braces. `open_points`: what the operator has to show elsewhere."""

    place: str
    question: str
    shown: str
    open_points: str


EU_AI_ACT = "EU AI Act (Regulation (EU) 2024/1689): record-keeping"
SOC_2 = "SOC 2 (AICPA Trust Services Criteria, 2017)"
HIPAA = "HIPAA Security Rule (45 CFR Part 164, Subpart C) and minimum necessary (164.502(b))"

PROVISIONS: dict[str, tuple[Provision, ...]] = {
    EU_AI_ACT: (
        Provision(
            "Article 12(1)",
            "Are events recorded automatically while the system operates?",
            "Each exchange with a model is one record, written before the client sees the end of its answer. "
            "{exchanges} in the period; {unknown}; {gaps}.",
            "That all traffic to the model goes through the proxy.",
        ),
        Provision(
            "Article 12(2)",
            "Can situations that present a risk be found in the records, and can the operation be monitored?",
            "Records name the rules that held, the findings and the decisions: {blocked}, {redacted}. {rules}.",
            "Which situations are a risk for the system, and who follows them up.",
        ),
        Provision(
            "Articles 19(1) and 26(6)",
            "Are the logs kept for an appropriate time, at least six months?",
            "{reach}.",
            "The rule by which logs are kept and deleted, and longer times that other law asks for.",
        ),
        Provision(
            "Article 26(5)",
            "Does the deployer monitor the operation of the system?",
            "This report, and the log that it is made from. {policies}.",
            "Who reads the reports, how often, and how incidents are reported.",
        ),
    ),
    SOC_2: (
        Provision(
            "CC6.1, CC6.7, C1.1",
            "Is confidential information protected when it is sent to a third party?",
            "Values that rules redact are replaced before a request leaves: {redacted}. Not inspected: {unread}.",
            "Which information is confidential, and that the policies name it.",
        ),
        Provision(
            "CC6.1, C1.2",
            "Is access to confidential records restricted and recorded, and are they disposed of when they must be?",
            "{custody}.",
            "Who may have the operator's key, and requests for access or erasure.",
        ),
        Provision(
            "CC7.2, CC7.3",
            "Are anomalies and security events detected, recorded and evaluated?",
            "{rules}. {blocked}.",
            "The evaluation of each event and its follow-up.",
        ),
        Provision(
            "CC8.1",
            "Can it be shown which configuration was in force, and when it changed?",
            "{policies}. {checks}.",
            "The approval of each change.",
        ),
        Provision(
            "CC4.1, PI1.4",
            "Are the records complete and unchanged?",
            "{verified}. {gaps}.",
            "Copies of checkpoints, or of heads, at a place where the proxy cannot write.",
        ),
    ),
    HIPAA: (
        Provision(
            "164.312(b) Audit controls",
            "Do mechanisms record and examine the activity in systems that use ePHI?",
            "Each exchange is recorded with time, tenant, route, model, findings and decision: {exchanges}.",
            "That all systems with ePHI send their traffic through the proxy.",
        ),
        Provision(
            "164.312(c)(1), (c)(2) Integrity",
            "Are the records protected from improper alteration, and can that be corroborated?",
            "{verified}.",
            "Who can write to the folder of the log, and who holds the keys.",
        ),
        Provision(
            "164.308(a)(1)(ii)(D) Activity review",
            "Are the records of activity reviewed regularly?",
            "This report summarizes {period}.",
            "The date, the reviewer and the result of each review.",
        ),
        Provision(
            "164.502(b) Minimum necessary",
            "Is protected health information limited to what is needed before it is disclosed to the model?",
            "{redacted}. Not inspected: {unread}.",
            "Which identifiers the policies have to find.",
        ),
        Provision(
            "164.316(b)(2)(i) Retention",
            "Is required documentation kept for six years?",
            "{reach}.",
            "Which of the records are required documentation.",
        ),
    ),
}


def answered(provision: Provision, facts: AuditFacts) -> str:
    """Returns what the report shows for a provision."""
    sentences = provision.shown.format(**facts._asdict()).split(". ")
    return ". ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)
