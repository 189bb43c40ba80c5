"""The figures of a package, counted in a small one."""

from __future__ import annotations

from pathlib import Path

from tools.figures import circles, figures

FILES = {
    "house/__init__.py": "",
    "house/cellar.py": '"""The cellar."""\n\nDEPTH = 3\n',
    "house/hall/__init__.py": "from house.hall.desk import greet, seat\n",
    "house/hall/desk.py": '"""A desk."""\n\nfrom house.cellar import DEPTH\n\n'
    "# why\ndef greet(guest, name):\n    guest.host.name = name\n"
    "    return guest.host.home.street.lower()\n\n\ndef seat(*guests):\n    return guests\n",
    "house/hall/stairs.py": '"""Stairs."""\nimport os.path\n\nfrom house.hall import desk\n\n\ndef up(guests):\n'
    "    from house.attic import look\n    desk.seat(*guests)\n    os.path.sep.x()\n    return look(desk.greet(*guests))\n",
    "house/attic.py": 'from house.hall.stairs import up\n\n__all__ = ["look"]\n\n\ndef look(x):\n    return up(x)\n',
    "pages/index.md": "one\ntwo\n",
    "README.md": "one\n",
}


def test_the_figures_of_a_small_package(tmp_path: Path) -> None:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert figures(tmp_path, "house", FILES) == {
        "files, lines": "6, 34",
        "code, docstrings, blank, imports": "19, 3, 11, 6",
        "own-line comments": "1 (5.3% of the code)",
        "rooms": "3",
        "floors of rooms": "none, for a circle",
        "arrows between rooms": "3",
        "arrows between files": "5",
        "circles of rooms": "1",
        "circles of files": "1; house.attic house.hall.stairs",
        "doors of folders": ". 3, hall 2",
        "names of `__init__`": "hall 2",
        "modules with one importer": "3",
        "imports inside functions": "1",
        "functions": "4, mean 3.0 lines",
        "functions over 50 lines": "0",
        "longest functions": "hall/stairs.py:7 up 5, hall/desk.py:6 greet 3, attic.py:6 look 2, hall/desk.py:11 seat 2",
        "chains of 3 attributes": "1: hall/desk.py 1",
        "assignments through another object": "1: hall/desk.py 1",
        "calls that hide arguments in a tuple": "1",
        "lines by area": "house .py 34, pages .md 2, . .md 1",
    }


def test_a_circle_is_found_once() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}) == [["a", "b", "c"]]
