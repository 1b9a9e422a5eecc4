# SPDX-License-Identifier: Apache-2.0
"""What a bare GPU machine with torch and MONAI must be able to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BLOCK = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"scipy", "skimage", "matplotlib"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
import monai_cl_ext.losses, monai_cl_ext.transforms, monai_cl_ext.methods, monai_cl_ext.engines, monai_cl_ext.handlers
assert not {"scipy", "skimage", "matplotlib"} & set(sys.modules)
"""


def test_the_training_rooms_import_without_scipy_scikit_image_and_matplotlib():
    done = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


OWN = """
import sys
import monai, ignite.engine, ignite.handlers, ignite.metrics

def foreign():
    return {name for name in sys.modules if name.partition(".")[0] not in {"monai_cl_ext", *sys.stdlib_module_names}}

before = foreign()
import monai_cl_ext.data, monai_cl_ext.transforms, monai_cl_ext.losses, monai_cl_ext.networks, monai_cl_ext.methods
import monai_cl_ext.engines, monai_cl_ext.handlers, monai_cl_ext.metrics
assert not foreign() - before, foreign() - before
import monai_cl_ext.cli
more = {name.partition(".")[0] for name in foreign() - before}
assert more <= {"fire", "termcolor"}, more
"""


@pytest.mark.slow
def test_what_a_training_imports_is_loaded_with_monai_and_ignite_already():
    """Each process of a study starts anew: what only some of them need is imported where it is used."""
    done = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_demo_needs_no_more_than_the_extra_study():
    blocked = BLOCK.partition("import monai_cl_ext")[0].replace(
        '"scipy", "skimage", "matplotlib"', '"skimage", "mlflow", "submitit", "sklearn"'
    )
    done = subprocess.run([sys.executable, "-c", blocked + "import monai_cl_ext.demo"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("room", ["losses", "transforms", "networks", "data"])
def test_the_four_rooms_do_not_know_each_other(room):
    known = {
        name.split(".")[1]
        for path in (ROOT / "monai_cl_ext" / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name.startswith("monai_cl_ext.")
    }
    assert known <= {
        room,
        "arguments",
        "cores",
        "device_checks",
        "distributed",
        "errors",
        "extras",
        "files",
        "finite",
        "names",
        "numerics",
        "pinned",
        "progress",
        "seeds",
        "types",
    }


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
