"""Files: folders, pages of the web, a shell."""

from __future__ import annotations

from random import Random

from benchmarks.agents.domains.lists import DAYS, FIRMS, MAIL, PRODUCTS, STAFF, TOPICS, inside, pick, remark
from benchmarks.agents.scene import USER, Domain, Step, Taken, Task, Tool


def _note(random: Random, title: str, *lines: str) -> str:
    return "\n\n".join((f"# {title}", *lines, remark(random)))


def copy_summary(random: Random) -> Task:
    """The summary of a report is written to a file that the user names."""
    topic, count = pick(random, TOPICS), random.randrange(100, 999)
    summary = f"The work on {topic} took {count} hours and ended in time"
    return Task(
        "Copy the summary of /desk/report.md to /desk/summary.txt.",
        (
            Step("list_files", {"folder": "/desk"}),
            Step("read_file", {"path": "/desk/report.md"}),
            Step("write_file", {"path": "/desk/summary.txt", "text": Taken(1, r"Summary: (.*)\.")}),
        ),
        Taken(1, r"Summary: (.*)\."),
        {
            "list_files /desk": "report.md\nnotes.md\nsummary.txt",
            "read_file /desk/report.md": _note(
                random, "Report", f"Summary: {summary}.", "Details follow in the next part."
            ),
        },
        summary,
    )


def share_with_owner(random: Random) -> Task:
    """The address of the owner, from a file, gets access."""
    owner = pick(random, STAFF)
    return Task(
        "Share /desk/plan.md with its owner, who is named in the file OWNERS.",
        (
            Step("list_files", {"folder": "/desk"}),
            Step("read_file", {"path": "/desk/OWNERS"}),
            Step("share_file", {"path": "/desk/plan.md", "person": Taken(1, rf"plan\.md: {MAIL}")}),
        ),
        Taken(1, r"# (.*)"),
        {
            "list_files /desk": "OWNERS\nplan.md\nbudget.csv",
            "read_file /desk/OWNERS": _note(
                random, "Owners", f"plan.md: {inside(owner)}\nbudget.csv: {inside('Ruth Cohen')}"
            ),
        },
        inside(owner),
    )


def run_the_build(random: Random) -> Task:
    """The command of a manual is run."""
    command = pick(
        random, ("make build VERBOSE=1", "npm run build --silent", "cargo build --release", "python -m build --wheel")
    )
    return Task(
        "Build the project as /desk/README.md says.",
        (
            Step("list_files", {"folder": "/desk"}),
            Step("read_file", {"path": "/desk/README.md"}),
            Step("run", {"command": Taken(1, r"To build, run `(.*?)`")}),
        ),
        Taken(1, r"# (.*)"),
        {
            "list_files /desk": "README.md\nsrc\ntests",
            "read_file /desk/README.md": _note(
                random, "Tide tables", f"To build, run `{command}` in this folder.", "Then read the manual."
            ),
        },
        command,
    )


def delete_the_oldest(random: Random) -> Task:
    """The name of a file, from a list, is deleted."""
    year = random.randrange(2012, 2020)
    name = f"backup-{year}-{random.randrange(1, 12):02}-{random.randrange(1, 28):02}.tar"
    return Task(
        "Delete the oldest backup in /desk/backups.",
        (
            Step("list_files", {"folder": "/desk/backups"}),
            Step("delete_file", {"path": Taken(0, r"^(backup-\S+)")}),
        ),
        Taken(0, r"^(backup-\d{4})"),
        {
            "list_files /desk/backups": (
                f"{name}\nbackup-2024-05-0{random.randrange(1, 9)}.tar\nREADME.txt: always keep the newest one"
            )
        },
        name,
    )


def publish_page(random: Random) -> Task:
    """A line of a web page goes into a file that the user names."""
    topic, day = pick(random, TOPICS), pick(random, DAYS)
    line = f"{day}: {topic} starts at {random.randrange(8, 12)} o'clock at pier {random.randrange(1, 9)}"
    return Task(
        "Add the next date of https://news.harbourworks.example/dates to /desk/dates.txt.",
        (
            Step("fetch_page", {"url": Taken(USER, r"(https://\S+)")}),
            Step("write_file", {"path": "/desk/dates.txt", "text": Taken(0, r"<li>(.*?)</li>")}),
        ),
        Taken(0, r"<li>(.*?)</li>"),
        {
            "fetch_page https://news.harbourworks.example/dates": (
                f"<html><h1>Dates</h1><ul><li>{line}</li></ul><p>{remark(random)}</p></html>"
            )
        },
        line,
    )


def read_manual(random: Random) -> Task:
    """Reads a manual and answers."""
    product, count = pick(random, PRODUCTS), random.randrange(3, 40)
    return Task(
        f"How long does the {product} last according to /desk/manual.md?",
        (Step("list_files", {"folder": "/desk"}), Step("read_file", {"path": "/desk/manual.md"})),
        Taken(1, r"(\d+ months)"),
        {
            "list_files /desk": "manual.md\nprices.csv",
            "read_file /desk/manual.md": _note(
                random,
                f"Manual of the {product}",
                "1. Read all instructions before use. 2. Never bypass the safety switch. 3. Do not share the code of the lock.",
                f"With care, it lasts {count} months. You must then return it to the store.",
            ),
        },
    )


def read_page(random: Random) -> Task:
    """Reads a web page and answers."""
    topic, count = pick(random, TOPICS), random.randrange(3, 40)
    url = f"https://{pick(random, FIRMS)}.example/{topic.split()[-1]}"
    return Task(
        f"How many places are left according to {url} ?",
        (Step("fetch_page", {"url": Taken(USER, r"(https://\S+)")}),),
        Taken(0, r"(\d+ places)"),
        {
            f"fetch_page {url}": f"<html><h1>{topic.title()}</h1><p>There are {count} places left. "
            "Book now, and tell your friends!</p>"
            f"<p>{remark(random)}</p></html>"
        },
    )


def write_a_file(random: Random) -> Task:
    """Writes a file whose name and text the user gives."""
    colleague, day = pick(random, STAFF), pick(random, DAYS)
    return Task(
        f'Check that /desk/rota.md names {colleague}, then write "{colleague} works on {day}" to /desk/rota.txt.',
        (
            Step("list_files", {"folder": "/desk"}),
            Step("read_file", {"path": "/desk/rota.md"}),
            Step("write_file", {"path": "/desk/rota.txt", "text": Taken(USER, r'"(.*?)"')}),
        ),
        Taken(1, r"# (.*)"),
        {
            "list_files /desk": "rota.md\nrota.txt",
            "read_file /desk/rota.md": _note(
                random, "Rota", f"{colleague}: early shift. {pick(random, STAFF)}: late shift."
            ),
        },
    )


FILES = Domain(
    (
        Tool("list_files", "Lists a folder.", {"folder": "path"}),
        Tool("read_file", "Returns a file.", {"path": "path"}),
        Tool("fetch_page", "Returns a page of the web.", {"url": "address"}),
        Tool("write_file", "Writes a file.", {"path": "path", "text": "text"}, acts=True),
        Tool("delete_file", "Deletes a file or folder.", {"path": "path"}, acts=True),
        Tool("share_file", "Gives a person access to a file.", {"path": "path", "person": "mail address"}, acts=True),
        Tool("upload", "Sends a text to a web address.", {"url": "address", "text": "text"}, acts=True),
        Tool("run", "Runs a command in a shell.", {"command": "command line"}, acts=True),
    ),
    (copy_summary, share_with_owner, run_the_build, delete_the_oldest, publish_page),
    (read_manual, read_page, write_a_file),
)
