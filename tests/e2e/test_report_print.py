"""The report for auditors, printed as PDF by a browser: pages with numbers, all of its text, no table cut inside a row."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from unicodedata import normalize

import pytest
from pypdf import PdfReader

from guardproxy.audit.record.document import Gap
from guardproxy.audit.record.entries import Unsealed
from tests.kit import processes
from tests.kit.browser import BROWSER
from tests.kit.logs import write_log
from tests.kit.records import plain_decision, plain_record

HEADINGS = (
    *(
        "Audit report: shop",
        "Exchanges",
        "Integrity of the log",
        "Access and erasure",
        "Rules and findings",
        "In force",
    ),
    *("Not inspected", "Traffic", "Questions of auditors", "EU AI Act", "SOC 2", "HIPAA Security Rule", "Review"),
)


@pytest.mark.browser  # only a browser can print a page as a reader would
def test_a_browser_prints_the_report(tmp_path: Path) -> None:
    records = [
        plain_record(id=f"x{number}", at=1_750_000_000.0 + number * 3600, decisions=(plain_decision(),))
        for number in range(60)
    ]
    gap = Gap(v=3, at=1_750_000_010.0, since=1_750_000_008.5, why="no space left on device")
    opened = Unsealed(v=3, at=1_750_000_020.0, id="x1", engine="g", key="k", by="eve", why="complaint 12")
    write_log(tmp_path / "audit", "audit-0", *records, gap, opened)
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    words = ("audit", "report", str(tmp_path / "audit"), "--out", str(page), "--title", "shop")
    ran = processes.run(*words, "--from", "2025-06-15", "--to", "2025-06-17")
    assert ran.returncode == 0, ran.stderr
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    command += ["--no-pdf-header-footer", f"--print-to-pdf={printed}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    pages = [" ".join(normalize("NFKC", found.extract_text()).split()) for found in PdfReader(printed).pages]
    assert 4 <= len(pages) <= 9
    whole = " ".join(pages)
    for wanted in (
        *HEADINGS,
        "Log verified: no problem in 62 records of 1 log.",
        "no space left on device",
        "opened the texts of the exchange x1 eve complaint 12",
        "Prepared by",
    ):
        assert wanted in whole, wanted
    if (
        int(
            re.findall(
                r"\d+", subprocess.run([BROWSER, "--version"], capture_output=True, text=True, check=True).stdout
            )[0]
        )
        >= 131
    ):
        for number, text in enumerate(pages, 1):  # older browsers print no margins of pages
            assert f"Page {number} of {len(pages)}" in text
