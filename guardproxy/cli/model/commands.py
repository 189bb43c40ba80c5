"""`guardproxy model`: measures a model on your own texts, chooses its thresholds, exports your own model.

Results go to stdout, as a table or as JSON; progress and notes go to stderr. Exit code 0: done; 1: a threshold could
not be chosen, or an export differs from its checkpoint; 2: wrong use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from guardproxy.cli.model.distil import distil
from guardproxy.cli.model.route import route
from guardproxy.cli.model.topic import topic
from guardproxy.cli.printing import Commands, aligned, complain, fail, is_terminal, progress_console, say, say_json
from guardproxy.errors import ConfigError
from guardproxy.findings import KINDS, Kind

if TYPE_CHECKING:
    from guardproxy.lab import CalibrationResult, Judge, JudgedRow, Judgement, LabelledRow, RowKeys

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Measure a model, choose its thresholds, export your own.")
Model = Annotated[str, typer.Option(help="The name of a model, or the path of its folder.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="A label of the model. May be repeated.")]
KindOf = Annotated[str, typer.Option("--channel", help=f"The kind of the texts: {', '.join(get_args(Kind))}.")]
TextKey = Annotated[str, typer.Option(help="The key of a row's text.")]
LabelKey = Annotated[str, typer.Option(help="The key of a row's label: 0 or 1, true or false, or a name.")]
SourceKey = Annotated[str, typer.Option(help="The key of a row's source. Default source: the file's name.")]
Positive = Annotated[list[str] | None, typer.Option(help="A label that means an attack. May be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("evaluate")
def evaluate(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="Labelled JSON Lines, plain or .gz.")],
    model: Model = "supervisor",
    label: Labels = None,
    kind: KindOf = "user",
    threshold: Annotated[
        str | None, typer.Option(help="A score (0.8) or an operating point (1%). Default: the model's own.")
    ] = None,
    text_key: TextKey = "text",
    label_key: LabelKey = "label",
    source_key: SourceKey = "source",
    positive: Positive = None,
    out: Annotated[Path, typer.Option(help="Where to save the figures and the plots.")] = Path("evaluation"),
    as_json: AsJson = False,
) -> None:
    """Judge labelled texts as the proxy would, and report the share of attacks found in each source.

    Prints a table, and saves evaluation.json, roc.png and calibration.png.
    """
    from guardproxy.lab import (  # noqa: PLC0415
        Judge,
        find,
        labelled_rows,
        load_judge,
        report,
        table,
        with_verdicts,
    )

    labels = label or ["injection"]
    options = {"labels": labels} if threshold is None else {"labels": labels, "threshold": _threshold(threshold)}
    with _wrong_use():
        rows = labelled_rows(data, _keys(text_key, label_key, source_key, positive))
        _some_positive(rows, positive)
        folder = find(model)
        scorer = load_judge(folder)
        judge = Judge(scorer, options, _kind(kind))
        judged = with_verdicts(rows, _verdicts(judge, rows, "evaluating"))
    figures = report(judged)
    threshold_name = threshold or scorer.default_point or "0.5"
    about = {"model": folder.name, "version": scorer.model.version, "digest": scorer.digest}
    result = {**about, "labels": labels, "kind": kind, "threshold": threshold_name, **figures.as_json()}
    paths = _save(out, result, judged, threshold_name)
    if as_json:
        say_json(result, 2)
    else:
        say(f"{folder.name} {scorer.model.version}, {', '.join(labels)} in texts of the kind {kind}")
        for part in table(figures, threshold_name):
            say("")
            _print(part)
        error = result["calibration"]["expected_error"]
        fine = sum(not row.attack for row in judged)
        say(
            "",
            f"each column: recall at a share of false positives among {fine:,} harmless texts; brackets: 95 % intervals;",
            "AP: average precision, which depends on how many attacks there are for each harmless text",
        )
        say(f"expected calibration error {error:.3f}")
    for note in figures.notes:
        say(f"note: {note}", err=True)
    say(f"saved {', '.join(map(str, paths))}", err=True)


@app.command("calibrate")
def calibrate(
    data: Annotated[
        list[Path] | None, typer.Argument(metavar="DATA", help="Labelled JSON Lines, plain or .gz.")
    ] = None,
    harmless: Annotated[
        list[Path] | None, typer.Option(help="JSON Lines of your traffic, treated as harmless. May be repeated.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="An audit log, whose texts are treated as harmless.")] = None,
    fpr: Annotated[
        list[str] | None,
        typer.Option(help="A share of false positives. May be repeated. Default: the model's own, or 1% and 0.1%."),
    ] = None,
    model: Model = "supervisor",
    label: Labels = None,
    kind: KindOf = "user",
    text_key: TextKey = "text",
    label_key: LabelKey = "label",
    source_key: SourceKey = "source",
    positive: Positive = None,
    out: Annotated[Path | None, typer.Option(help="A folder for a copy of the model with these settings.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write the settings to the folder of the model itself.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose thresholds for given shares of false positives on your own traffic.

    With labelled texts of a single output, its bias and temperature are fitted too: a score of 0.8 then means that 80
    % of such texts are attacks. Prints the lines for a policy, or writes a model folder in which `threshold: 1%` uses
    this result.
    """
    from guardproxy.lab import Judge, configure, copy, find, listed_files, load_judge  # noqa: PLC0415
    from guardproxy.lab import calibrate as run  # noqa: PLC0415

    with _wrong_use():
        if out and in_place:
            raise ConfigError("give --out or --in-place, not both")
        shares = _shares(fpr or [])
        keys = _keys(text_key, label_key, source_key, positive)
        fine, attacks = _own_texts(data or [], harmless or [], log, _kind(kind), keys)
        folder = find(model)
        scorer = load_judge(folder, digits=17)  # 6 digits would lose the logits of very certain texts
        labels = label or (["injection"] if attacks and "injection" in scorer.labels else list(scorer.outputs))
        judge = Judge(scorer, {"labels": labels, "threshold": 0, "first_stage": False}, _kind(kind))
        verdicts = list(_verdicts(judge, [*fine, *attacks], "calibrating"))
        own = {point: None for output in judge.outputs for point in scorer.points[output]}
        config = json.loads((folder / "config.json").read_text("utf-8"))
        calibrated = run(config, fine, verdicts, shares or _shares([*own] or ["1%", "0.1%"]), bool(out or in_place))
    if as_json:
        about = {"model": folder.name, "digest": scorer.digest, "kind": kind}
        counts = {"harmless": len(fine), "attacks": len(attacks)}
        say_json(about | counts | calibrated.as_json(), 2)
    else:
        _print_choices(
            calibrated, len(fine), len(attacks), (out or folder).name, bool(out or in_place) and calibrated.complete
        )
    for note in calibrated.notes:
        say(f"note: {note}", err=True)
    if out or in_place:
        with _wrong_use(1 if not calibrated.complete else 2):
            if out:
                copy(folder, out, calibrated.checked_config())
            else:
                configure(folder, calibrated.checked_config(), listed_files(folder))
        say(f"wrote {out or folder}", err=True)
        if calibrated.kept:
            say(
                f"note: {', '.join(calibrated.kept)} were not chosen again: they refer to the model's original traffic",
                err=True,
            )
    raise typer.Exit(0 if calibrated.complete else 1)


@app.command("export")
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A folder that transformers can load.")],
    out: Annotated[Path, typer.Option(help="The model folder to write; it must not exist.")],
    kind: Annotated[str | None, typer.Option(help="scores or tags. Default: the kind of the checkpoint.")] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="Names for a classifier's outputs, in order (safe,injection), or for a tagger's labels (MISC=NRP)."
        ),
    ] = "",
    positive: Annotated[
        list[str] | None, typer.Option(help="An output that means an attack; `--as` names the label for all of them.")
    ] = None,
    as_label: Annotated[str, typer.Option("--as", help="The common label of the --positive outputs.")] = "injection",
    int8: Annotated[bool, typer.Option(help="8-bit weights: faster on a CPU.")] = True,
    fp16: Annotated[bool, typer.Option("--fp16", help="Also export a network with 16-bit weights, for a GPU.")] = False,
    version: Annotated[str, typer.Option(help="The version of the model in records.")] = "1",
    as_json: AsJson = False,
) -> None:
    """Convert a transformers checkpoint for sequence or token classification into a model folder for policies.

    Nothing is downloaded. The folder is written only if its network gives the checkpoint's results.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from guardproxy.lab import ParityError, groups, load_checkpoint, naming  # noqa: PLC0415
    from guardproxy.lab import export as run  # noqa: PLC0415

    with _wrong_use():
        if kind not in (None, "scores", "tags"):
            raise ConfigError("--kind is scores or tags")
        names, renamed = naming(labels)
        loaded = load_checkpoint(checkpoint, kind, names, renamed)  # type: ignore[arg-type]  # checked above
        if loaded.remark:
            complain(f"{checkpoint}: {loaded.remark}")
        try:
            parity = run(
                loaded, out, int8=int8, fp16=fp16, groups=groups(loaded, positive or [], as_label), version=version
            )
        except ParityError as error:
            fail(error, 1)
    if as_json:
        results = {name: asdict(result) for name, result in parity.items()}
        say_json({"folder": str(out), "kind": loaded.kind, "outputs": loaded.outputs, "parity": results}, 2)
    else:
        say(f"{loaded.architecture}, up to {loaded.max_tokens} tokens: {', '.join(loaded.outputs)}", "")
        rows = [["against torch", "rows", "logit, most", "score, most", "score, mean", "other side"]]
        for name, result in parity.items():
            cells = (
                f"{result.logit_most:.2g}",
                f"{result.score_most:.2g}",
                f"{result.score_mean:.2g}",
                f"{100 * result.flips:.2g} %",
            )
            rows.append([name, str(result.rows), *cells])
        _print(rows)
        if loaded.kind == "scores":
            say("", "the threshold is 0.5 until `guardproxy model calibrate` has seen your traffic")
    say(f"wrote {out}", err=True)


def _own_texts(
    data: Sequence[Path], harmless: Sequence[Path], log: Path | None, kind: Kind, keys: RowKeys
) -> tuple[list[LabelledRow], list[LabelledRow]]:
    """Returns the harmless texts and the attacks. Given traffic replaces rows that are labelled harmless."""
    from dataclasses import replace  # noqa: PLC0415

    from guardproxy.lab import labelled_rows, logged_rows  # noqa: PLC0415

    rows = labelled_rows(data, keys) if data else []
    fine = labelled_rows(harmless, replace(keys, label="")) if harmless else []
    fine += logged_rows(log, kind) if log else []
    fine = fine or [row for row in rows if not row.attack]
    if not fine:
        raise ConfigError("thresholds need harmless texts: rows with a harmless label, --harmless FILE or --log DIR")
    return fine, [row for row in rows if row.attack]


def _print_choices(calibrated: CalibrationResult, fine: int, attacks: int, model: str, is_written: bool) -> None:
    from decimal import Decimal  # noqa: PLC0415

    from guardproxy.lab import interval  # noqa: PLC0415

    lines = []
    for choice in calibrated.chosen:
        say(f"{choice.output}: {fine:,} harmless texts, {attacks:,} attacks")
        rows = [["false positives", "threshold", "95 % of such traffic", "harmless found", "attacks found"]]
        for at, point in choice.points.items():
            low, value, high = (
                f"{part:.4g}" for part in (point.threshold.low, point.threshold.value, point.threshold.high)
            )
            rows.append([at, value, f"{low} to {high}", interval(point.harmless, 2), interval(point.attacks)])
            # some YAML parsers do not read 1e-05 as a number
            threshold = at if is_written else f"{Decimal(repr(point.threshold.value)):f}"
            options = f"use: supervisor, model: {model}, label: {choice.output}, threshold: {threshold}"
            lines.append(f"  {choice.output}: {{{options}}}  # {at}")
        _print(rows)
        if choice.fitted:
            scaling, (before, after) = choice.fitted.scaling, choice.fitted.error
            does = "scaled" if is_written else "--out would scale it"
            say(f"{does} by bias {scaling.bias:.4g} and temperature {scaling.temperature:.4g} on top of its own:")
            say(f"expected calibration error {before:.3f} before, {after:.3f} after, on the half not fitted to")
        say("")
    for at, share in calibrated.together.items():
        say(f"harmless texts that any of these finds at {at}: {interval(share, 2)}")
    say(f"harmless texts that score highest (are they harmless?): {', '.join(calibrated.highest)}")
    if lines:
        say("for a policy:", *lines)


@contextmanager
def _wrong_use(code: int = 2) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        fail(error, code)


def _keys(text: str, label: str, source: str, positive: list[str] | None) -> RowKeys:
    from guardproxy.lab import RowKeys  # noqa: PLC0415

    return RowKeys(text, label, source, frozenset(positive or ()))


def _some_positive(rows: Sequence[LabelledRow], positive: list[str] | None) -> None:
    if positive and not any(row.attack for row in rows):
        raise ConfigError(f"no row has the label {' or '.join(positive)}")


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if kind == name:
            return kind
    raise ConfigError(f"--channel is one of {', '.join(KINDS)}")


def _threshold(text: str) -> float | str:
    """Returns a score, or the name of an operating point."""
    try:
        return float(text)
    except ValueError:
        return text


def _shares(texts: Sequence[str]) -> list[float]:
    from guardproxy.lab import share  # noqa: PLC0415

    shares = []
    for text in texts:
        if (value := share(text)) is None:
            raise ConfigError("--fpr is a share of harmless texts, like 1%")
        shares.append(value)
    return shares


def _verdicts(judge: Judge, rows: Sequence[LabelledRow], doing: str) -> Iterator[Judgement]:
    """Yields the verdicts. Shows a progress bar on a terminal."""
    from rich.progress import track  # noqa: PLC0415

    verdicts = judge.judge(row.text for row in rows)
    quiet = not is_terminal(err=True)
    yield from track(verdicts, doing, len(rows), console=progress_console(), transient=True, disable=quiet)


def _save(out: Path, result: dict[str, Any], judged: Sequence[JudgedRow], threshold_name: str) -> list[Path]:
    """Writes figures and plots, and returns their paths. Reports an error if matplotlib is missing."""
    from guardproxy.lab import (  # noqa: PLC0415
        curves,
        draw_reliability,
        draw_roc,
        reliability,
    )

    figures, roc, calibration = out / "evaluation.json", out / "roc.png", out / "calibration.png"
    with _wrong_use():
        try:
            out.mkdir(parents=True, exist_ok=True)
            figures.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    saved = [figures]
    fine = [row for row in judged if not row.attack]
    bins = reliability([row.score for row in judged], [row.attack for row in judged])
    try:
        if lines := curves(judged):
            draw_roc(lines, (sum(row.found for row in fine) / len(fine), threshold_name), len(fine), roc)
            saved.append(roc)
        draw_reliability({"all texts": bins}, calibration)
        saved.append(calibration)
    except ConfigError as error:
        complain(error)
    return saved


def _print(rows: Sequence[Sequence[str]]) -> None:
    say(*aligned(rows))


app.command("route")(route)
app.command("topic")(topic)
app.command("distil")(distil)
