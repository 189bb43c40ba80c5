"""How the drawing of the packages in `docs/architecture.md` is made."""

from __future__ import annotations

from graphlib import CycleError
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.pages.drawing import DRAWN_MOST, drawing, floors, imports, reduced, rooms, table, wings
from tools.pages.pictures import Message, arcs_picture, messages_picture

SVG = "{http://www.w3.org/2000/svg}"
GRAPH = {"cli": {"server", "errors"}, "server": {"wire", "errors"}, "wire": {"errors"}, "errors": set()}


def arrows(tree: ElementTree.Element) -> list[ElementTree.Element]:
    """The arrows of a picture, in order."""
    return [path for path in tree.iter(f"{SVG}path") if path.get("marker-end")]


def test_imports_are_found_between_the_parts_of_a_package(tmp_path: Path) -> None:
    package = tmp_path / "house"
    files = {
        "__init__.py": "from house import roof",
        "roof.py": "import os\nfrom house.wall import brick\n\ndef door():\n    from house import ground\n",
        "wall/__init__.py": "",
        "wall/brick.py": "import house.ground\nfrom house.wall import clay\nfrom house.other import x",
        "ground.py": "",
    }
    for path, text in files.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    assert imports(package) == {"roof": {"wall", "ground"}, "wall": {"ground"}, "ground": set()}


def test_each_part_is_above_all_that_it_imports() -> None:
    assert floors(GRAPH) == [["cli"], ["server"], ["wire"], ["errors"]]


def test_a_circle_has_no_floors() -> None:
    with pytest.raises(CycleError):
        floors({"a": {"b"}, "b": {"a"}})


def test_arrows_that_a_longer_way_implies_are_left_out() -> None:
    assert reduced(GRAPH) == {"cli": {"server"}, "server": {"wire"}, "wire": {"errors"}, "errors": set()}


def test_a_drawing_has_a_row_for_each_floor_and_the_arrows() -> None:
    tree = ElementTree.fromstring(drawing("a <house>", {"a": {"b", "c"}, "b": {"c"}, "c": set()}))
    assert tree.get("aria-label") == "a <house>"
    tops = {text.text: float(text.get("y", 0)) for text in tree.iter(f"{SVG}text")}
    assert tops["a"] < tops["b"] < tops["c"]
    assert len(arrows(tree)) == 2, "an arrow that a longer way implies is left out"


def test_arcs_go_down_at_the_right_and_up_at_the_left() -> None:
    tree = ElementTree.fromstring(arcs_picture("t", ["a", "b"], {"a": ["b"], "b": ["a"]}))
    assert [arrow.get("class") for arrow in arrows(tree)] == ["way", "way back"]


def test_messages_stand_in_order_of_time() -> None:
    messages = [
        Message("a", "b", "first"),
        Message("b", "b", "second", is_note=True),
        Message("b", "a", "third", is_answer=True),
    ]
    tree = ElementTree.fromstring(messages_picture("t", ["a", "b"], messages, (0, 1, "again")))
    tops = {text.text: float(text.get("y", 0)) for text in tree.iter(f"{SVG}text")}
    assert tops["first"] < tops["second"] < tops["third"]
    assert [arrow.get("stroke-dasharray") for arrow in arrows(tree)] == [None, "5 4"]
    tree = ElementTree.fromstring(messages_picture("t", ["a", "b"], messages))
    assert len(list(tree.iter(f"{SVG}rect"))) == 3


def test_a_table_has_the_first_sentence_of_each_docstring(tmp_path: Path) -> None:
    (tmp_path / "wall").mkdir()
    (tmp_path / "wall" / "__init__.py").write_text('"""Keeps rain\n| out. And wind.\n\nMore."""')
    (tmp_path / "ground.py").write_text('"""Carries walls."""')
    rows = table({"wall": {"ground"}, "ground": set()}, tmp_path).splitlines()
    assert rows[2:] == ["| `wall` | Keeps rain \\| out |", "| `ground` | Carries walls |"]


def test_the_wings_of_a_package_are_drawn_and_listed(tmp_path: Path) -> None:
    house = tmp_path / "house"
    files = {
        "__init__.py": "",
        "shed/__init__.py": "",
        "hall/__init__.py": '"""The hall: where people arrive."""',
        "hall/desk.py": '"""Greets people. And more."""\nfrom house.hall.stairs.steps import climb\nfrom house import shed',
        "hall/stairs/__init__.py": '"""Leads up."""',
        "hall/stairs/steps.py": "",
        "hall/lift/__init__.py": '"""Leads up, too."""\nfrom house.hall import stairs',
    }
    for path, text in files.items():
        (house / path).parent.mkdir(parents=True, exist_ok=True)
        (house / path).write_text(text)
    assert rooms(house) == ["hall"]
    text = wings(house)
    picture = "![The wings of hall and what they import](pictures/hall.svg)"
    assert text.startswith(f"### hall\n\nThe hall: where people arrive.\n\n{picture}\n")
    assert text.replace("`", "").splitlines()[-5:] == [
        "| part | what it is for |",
        "|---|---|",
        "| hall/desk.py | Greets people |",
        "| hall/lift/ | Leads up, too |",
        "| hall/stairs/ | Leads up |",
    ]
    for number in range(DRAWN_MOST):
        (house / "hall" / f"chair{number}.py").write_text("")
    assert picture not in wings(house)
    assert "hall/desk.py" not in wings(house)
