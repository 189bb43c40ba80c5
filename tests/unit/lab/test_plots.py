"""The pictures: what is drawn is what was measured, and a missing matplotlib is said."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from guardproxy.errors import ConfigError
from guardproxy.lab.calibration import Bin
from guardproxy.lab.plots import draw_reliability, draw_roc

CURVES = {
    "game": (np.array([0, 0.001, 0.01, 1.0]), np.array([0.2, 0.4, 0.8, 1.0])),
    "all": (np.array([0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0])),
}


def figure(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_a_curve_is_drawn_over_a_log_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    from matplotlib import pyplot

    closed: list[object] = []
    monkeypatch.setattr(pyplot, "close", closed.append)
    draw_roc(CURVES, (share, "1%"), 2000, tmp_path / "roc.png")
    assert figure(tmp_path / "roc.png") == (1050, 675)
    (axis,) = closed[0].axes  # type: ignore[attr-defined]
    assert (axis.get_xscale(), axis.get_xlim()) == ("log", (0.00025, 1))
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["game", "all", *(["threshold 1%"] if share else [])]
    assert list(axis.lines[0].get_ydata()) == [0.2, 0.4, 0.8, 1.0]
    monkeypatch.undo()
    pyplot.close("all")


def test_reliability_is_drawn_with_a_point_for_each_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    closed: list[object] = []
    monkeypatch.setattr(pyplot, "close", closed.append)
    draw_reliability(
        {"before": (Bin(90, 0.1, 0.05), Bin(10, 0.9, 0.5)), "after": (Bin(1, 0.5, 0.5),)}, tmp_path / "c.png"
    )
    assert figure(tmp_path / "c.png") == (750, 675)
    (axis,) = closed[0].axes  # type: ignore[attr-defined]
    assert [[float(x) for x in points.get_offsets()[:, 0]] for points in axis.collections] == [[0.1, 0.9], [0.5]]
    monkeypatch.undo()
    pyplot.close("all")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'guardproxy\[plots\]'"):
        draw_roc(CURVES, (0.0, "1%"), 100, tmp_path / "roc.png")
    assert not (tmp_path / "roc.png").exists()
