# SPDX-License-Identifier: Apache-2.0
"""Imports run one way, and files, functions and lists of arguments stay short."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "monai_cl_ext"
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
COMMAND_LINE = {"cli.py", "commands.py"}  # their parameters are the options of commands

# Records that stand in a file field by field, which a reader of the file would not find in parts.
WRITTEN = {"monai_cl_ext.study.plan.Plan", "monai_cl_ext.study.task.Task"}


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imported(module: str, path: Path) -> Iterator[str]:
    """Names of modules and of what is in them, wherever the file imports them: in functions, for types, relatively."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            source = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def needed(module: str, path: Path) -> set[str]:
    """The own files that one file imports.

    A name that a package gives is an import of the package's ``__init__``, and so is a file in it, since Python runs
    the ``__init__`` first. Packages that the importing file is in itself are counted only where it names them: whoever
    runs it has begun to run them.
    """
    own = {module} | {parent for parent in FILES if module.startswith(f"{parent}.")}
    found = set()
    for name in imported(module, path):
        parts = name.split(".")
        places = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        files = [place for place in places if place in FILES]
        found |= set(files) - own | set(files[-1:])
    return found


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """A shortest cycle through each node that has one, each cycle once."""
    found = {}
    for start in graph:
        paths, seen = [[start]], set()
        for path in paths:
            for node in sorted(graph.get(path[-1], ())):
                if node == start:
                    found.setdefault(frozenset(path), [*path, start])
                elif node not in seen:
                    seen.add(node)
                    paths.append([*path, node])
    return list(found.values())


def room(module: str) -> str:
    """The folder or file at the top of the package that a file is in."""
    return ".".join(module.split(".")[:2])


def test_no_file_needs_itself_by_way_of_others():
    assert cycles({module: needed(module, path) for module, path in FILES.items()}) == []


def test_no_room_needs_itself_by_way_of_others():
    graph: dict[str, set[str]] = {}
    for module, path in FILES.items():
        graph.setdefault(room(module), set()).update({room(name) for name in needed(module, path)} - {room(module)})
    assert cycles(graph) == []


def test_cycles_are_found():
    """However they hide: of files with packages, in functions, for types, relative."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c", "a"]]
    assert cycles({"a": {"a"}, "b": {"a"}}) == [["a", "a"]]
    assert room("monai_cl_ext.study.report.page") == "monai_cl_ext.study"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("from monai_cl_ext.networks import stages", {"monai_cl_ext.networks", "monai_cl_ext.networks.stages"}),
        ("def f():\n    import monai_cl_ext.seeds", {"monai_cl_ext.seeds"}),
        ("if TYPE_CHECKING:\n    from .metric import METRICS", {"monai_cl_ext.metrics.metric"}),
        ("from . import segmentation", {"monai_cl_ext.metrics.segmentation"}),
        ("from .. import seeds", {"monai_cl_ext.seeds"}),
        ("from monai_cl_ext import __version__", {"monai_cl_ext"}),
        ("from monai_cl_ext.metrics import PartitionProbe", {"monai_cl_ext.metrics"}),
        ("from monai_cl_ext.handlers.resume import Resume", {"monai_cl_ext.handlers", "monai_cl_ext.handlers.resume"}),
        ("import torch\nfrom pathlib import Path", set()),
    ],
)
def test_what_counts_as_an_import(text, expected, tmp_path):
    file = tmp_path / "file.py"
    file.write_text(text)
    assert needed("monai_cl_ext.metrics.file", file) == expected


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Their names, without that of the object; ``*`` and ``**`` count as one each."""
    found = function.args
    several = [found.vararg, found.kwarg]
    names = [each.arg for each in (*found.posonlyargs, *found.args, *found.kwonlyargs, *filter(None, several))]
    return [name for name in names if name not in ("self", "cls")]


def fields(module: str) -> dict[str, int]:
    """The fields of each data class or named tuple of a file, which are the arguments of its constructor."""
    return {
        f"{module}.{node.name}": sum(isinstance(each, ast.AnnAssign) for each in node.body)
        for node in nodes(FILES[module])
        if isinstance(node, ast.ClassDef)
        and any(
            "dataclass" in ast.unparse(each) or "NamedTuple" in ast.unparse(each)
            for each in (*node.decorator_list, *node.bases)
        )
    }


def test_nothing_takes_more_than_nine_arguments():
    found = {
        f"{module}:{function.lineno} {function.name}": len(parameters(function))
        for module, path in FILES.items()
        if path.name not in COMMAND_LINE
        for function in functions(path)
    }
    records = {name: count for module in FILES for name, count in fields(module).items()}
    assert len(found) > 1000 and len(records) > 20
    assert {place: count for place, count in found.items() if count > 9} == {}
    assert {name for name, count in records.items() if count > 9} <= WRITTEN
    assert len(parameters(ast.parse("def f(self, a, /, b, *c, d=0, **e): ...").body[0])) == 5


def test_functions_and_files_are_short():
    lines = {
        f"{module}:{function.lineno} {function.name}": function.end_lineno - function.lineno + 1
        for module, path in FILES.items()
        for function in functions(path)
    }
    assert {place: count for place, count in lines.items() if count > 60} == {}
    assert {name: count for name, path in FILES.items() if (count := lines_of(path)) > 400} == {}


def lines_of(*paths: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def test_rooms_stay_within_what_they_were_cut_to():
    assert lines_of(*(PACKAGE / "visualize").rglob("*.py")) <= 1800
    assert lines_of(PACKAGE / "transforms" / "__init__.py") <= 120
