"""Replays the records of logs, part by part.

In: parts of logs. Out: the versions that made the records, the result of each record, and the changes by rule. Kept: the sums
of the parts so far.

Every log is read twice. The first pass counts the versions, because what differs is said before the first result. Both passes
are tasks of one run, so each worker loads policies and models once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

from guardproxy.audit import AnyEntry, Closing, Record, read_entry
from guardproxy.batch.policies import SharedPolicies
from guardproxy.engine import AnyPath, Part, WorkEngine
from guardproxy.errors import RecordError, SealError
from guardproxy.policy import PolicySet
from guardproxy.policydiff import Traffic
from guardproxy.replay import Digests, ReplayResult, ShownPath, VersionCounts, judged, rerun

VERDICTS = ("identical", "different", "cannot be told", "not replayable")

Opening = Callable[[Record], tuple[Record, ShownPath | None]]
"""Opens a sealed record, and tells how the paths of the opened record are shown."""
Row = tuple[str, ReplayResult]


@dataclass(frozen=True, slots=True)
class SealedTexts:
    """How sealed texts are opened. `folder`: the folder of the log. `store`: the key store, by default beside the log. `keys`:
    where the operator's keys come from. Keys themselves are read by each worker."""

    folder: Path
    store: Path | None
    keys: tuple[str, ...]

    @contextmanager
    def opening(self) -> Iterator[Opening]:
        """Yields the function that opens sealed records. Raises `SealError`."""
        from guardproxy.audit.sealing import Sealer, open_store  # noqa: PLC0415

        sealer = Sealer(open_store(self.folder, self.store, self.keys))

        def open_texts(record: Record) -> tuple[Record, ShownPath | None]:
            if record.sealed is None:
                return record, None
            opened = sealer.open(record)
            return opened.record, opened.shown_path

        try:
            yield open_texts
        finally:
            sealer.close()


@dataclass(frozen=True, slots=True)
class ReplayTask:
    """A part of a log. `is_survey`: whether only versions are counted."""

    part: Part
    is_survey: bool

    def __str__(self) -> str:
        return str(self.part)


@dataclass(slots=True)
class ReplayPart:
    """What a task found. `lines`: the number of its lines. `fault`: why its last line cannot be read."""

    lines: int = 0
    fault: str = ""
    versions: VersionCounts = field(default_factory=VersionCounts)
    counts: Counter[str] = field(default_factory=Counter)
    traffic: Traffic = field(default_factory=Traffic)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReplayWork:
    """Replays records under policies. `sealed`: without it, sealed texts are not opened. `all_rows`: whether a record without a
    difference has a row too."""

    policies: SharedPolicies
    sealed: SealedTexts | None = None
    all_rows: bool = False

    @property
    def uses_models(self) -> bool:
        """See `Work.uses_models`."""
        return self.policies.use_models

    @contextmanager
    def open(self) -> Iterator[Callable[[ReplayTask], ReplayPart]]:
        """See `Work.open`."""
        policies = self.policies.load()
        if self.sealed is None:
            yield partial(self._do, policies, _as_it_is)
            return
        with self.sealed.opening() as open_texts:
            yield partial(self._do, policies, open_texts)

    def _do(self, policies: PolicySet, open_texts: Opening, task: ReplayTask) -> ReplayPart:
        out = ReplayPart()
        digests = Digests(policies, program(), out.versions)
        for line in task.part.lines():
            out.lines += 1
            try:
                entry = read_entry(line)
            except RecordError as error:
                out.fault = str(error)
                break
            if entry is None:
                continue
            if task.is_survey:
                digests.see(entry)
            else:
                self._replay(policies, open_texts, entry, out)
        return out

    def _replay(self, policies: PolicySet, open_texts: Opening, record: AnyEntry, out: ReplayPart) -> None:
        if not isinstance(record, (Record, Closing)) or (isinstance(record, Record) and record.feedback):
            return  # feedback went to no model
        try:
            opened, shown = open_texts(record) if isinstance(record, Record) else (record, None)
            again = rerun(opened, policies)
            result = judged(opened, again, policies, shown or str)
        except SealError as error:
            opened, shown = record, None
            again, result = str(error), ReplayResult("not replayable", (str(error),))
        out.counts[result.verdict] += 1
        if isinstance(again, str) or isinstance(opened, Closing):
            out.traffic.skip(str(again) + (f": on findings alone {result.verdict}" if result.on_findings else ""))
        else:
            out.traffic.take(opened, again, shown)
        if self.all_rows or result.verdict != "identical" or result.on_findings:
            out.rows.append((record.id, result))


def program() -> str:
    """Returns the name and version of this program, as records name it."""
    return f"guardproxy {version('guardproxy')}"


def _as_it_is(record: Record) -> tuple[Record, ShownPath | None]:
    return record, None


class LogReplay:
    """A replay of logs in parts. `remarks` comes first, then `rows`; then `counts` and `traffic` are complete. Raises
    `GuardproxyError` and `OSError`."""

    def __init__(self, work: ReplayWork, parts: Sequence[Part], engine: WorkEngine) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
        self.traffic = Traffic()
        self._parts = parts
        tasks = [ReplayTask(part, is_survey) for is_survey in (True, False) for part in parts]
        self._found = engine.each(work, tasks)

    def remarks(self) -> list[str]:
        """Returns what differs between the versions in the records and the versions here."""
        versions = VersionCounts()
        for found in self._next_pass():
            versions.add(found.versions)
        return list(versions.sentences(program()))

    def rows(self) -> Iterator[Row]:
        """Yields the id and the result of each record, in the order of the logs."""
        for found in self._next_pass():
            self.counts.update(found.counts)
            self.traffic.add(found.traffic)
            yield from found.rows
        next(self._found, None)  # the end of the results ends the workers

    def _next_pass(self) -> Iterator[ReplayPart]:
        lines: Counter[AnyPath] = Counter()
        for part, found in zip(self._parts, self._found, strict=False):
            lines[part.path] += found.lines
            if found.fault:
                raise RecordError(f"{part.path}:{lines[part.path]}: {found.fault}")
            yield found
