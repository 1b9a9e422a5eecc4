# SPDX-License-Identifier: Apache-2.0
"""Every package that is not always installed: without it one sentence names the extra, and setup.cfg has it there."""

import ast
import configparser
import importlib
import re
import sys
from pathlib import Path

import pytest

import monai_cl_ext
from monai_cl_ext.csv_files import read_table
from monai_cl_ext.data import LoadCased
from monai_cl_ext.data.picture_dataset import read_picture
from monai_cl_ext.data.picture_files import open_picture
from monai_cl_ext.networks import MultiCropViT
from monai_cl_ext.networks.checkpoint import read_state
from monai_cl_ext.packing.exports import export_onnx
from monai_cl_ext.study.launchers import slurm_launcher
from monai_cl_ext.transforms import Superpixel

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg")
PACKAGES = {"PIL": "pillow", "cv2": "opencv-contrib-python-headless", "skimage": "scikit-image",
            "sklearn": "scikit-learn", "markupsafe": "jinja2"}  # fmt: skip
ALWAYS = {"ignite", "torch"}  # of pytorch-ignite, and what mypy sees of it


def listed(text):
    """The packages of a list in setup.cfg."""
    return set(re.findall(r"^([\w-]+)", text, re.MULTILINE))


def imports(tree):
    """The top-level name of every module that is imported, and whether that happens when the file itself is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    top = {id(each) for each in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0], id(node) in top
        elif isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], id(node) in top) for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            names = [name.value for name in node.args if isinstance(name, ast.Constant)]
            yield from ((name.partition(".")[0], False) for name in names)


def optional_imports():
    base = listed(SETTINGS["options"]["install_requires"]) | ALWAYS | {"monai_cl_ext"} | sys.stdlib_module_names
    for path in sorted((ROOT / "monai_cl_ext").rglob("*.py")):
        if "templates" in path.parts:
            continue  # becomes code of the user's
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for module, top in set(imports(ast.parse(path.read_text(encoding="utf-8")))):
            if module not in base:
                yield name, module, top


OPTIONAL = sorted(optional_imports())
NESTED = {
    ("monai_cl_ext.csv_files", "pandas"): lambda folder: read_table(folder / "a.csv"),
    ("monai_cl_ext.data.picture_dataset", "PIL"): lambda folder: read_picture(str(folder / "a.png"), 8),
    ("monai_cl_ext.data.picture_files", "PIL"): lambda folder: open_picture(folder / "a.png"),
    ("monai_cl_ext.networks.checkpoint", "safetensors"): lambda folder: read_state(folder / "a.safetensors"),
    ("monai_cl_ext.packing.exports", "onnx"): lambda folder: export_onnx(folder, [1, 1, 32, 32]),
    ("monai_cl_ext.packing.exports", "onnxruntime"): lambda folder: export_onnx(folder, [1, 1, 32, 32]),
    ("monai_cl_ext.study.launchers", "submitit"): slurm_launcher,
    ("monai_cl_ext.transforms.superpixels.opencv_backends", "cv2"): lambda folder: Superpixel(backend="opencv_slic"),
}
# what is not imported by name here: the modules of superpixels, and what MONAI's own classes import
INSIDE = {
    "skimage": lambda folder: Superpixel(backend="skimage"),
    "skimage of felzenszwalb": lambda folder: Superpixel(backend="felzenszwalb"),
    "cv2 of seeds": lambda folder: Superpixel(backend="opencv_seeds"),
    "cv2 of lsc": lambda folder: Superpixel(backend="opencv_lsc"),
    "SimpleITK": lambda folder: Superpixel(backend="simpleitk"),
    "einops": lambda folder: MultiCropViT(1, 32, 16, 24, 48, 1, 2),
    "pydicom": lambda folder: LoadCased("image")({"image": folder / "series"}),
    "PIL of volumes": lambda folder: LoadCased("image")({"image": folder / "a.png"}),
}


@pytest.fixture
def hide(monkeypatch):
    """Makes a package look as where it is not installed; modules of this one that are imported anew go afterwards."""
    modules, names = dict(sys.modules), dict(vars(monai_cl_ext))

    def hidden(module):
        for name in [name for name in sys.modules if name.partition(".")[0] == module]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)

    yield hidden
    monkeypatch.undo()
    for name in [name for name in sys.modules if name.partition(".")[0] == "monai_cl_ext"]:
        del sys.modules[name]
    sys.modules.update({name: found for name, found in modules.items() if name.partition(".")[0] == "monai_cl_ext"})
    vars(monai_cl_ext).update(names)


def check(message, module):
    (extra,) = re.findall(r"pip install 'monai-cl-ext\[(\w+)\]'", message)
    assert PACKAGES.get(module, module) in listed(SETTINGS["options.extras_require"][extra])
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("module", sorted({module for _, module, top in OPTIONAL if top}))
def test_a_room_that_is_imported_without_a_package_names_the_extra(hide, module):
    hide(module)
    for name in [name for name, needed, top in OPTIONAL if needed == module and top]:
        for known in [known for known in sys.modules if known.startswith(".".join(name.split(".")[:2]))]:
            del sys.modules[known]
        with pytest.raises(ImportError) as error:
            importlib.import_module(name)
        check(str(error.value), module)


@pytest.mark.parametrize("name, module", [(name, module) for name, module, top in OPTIONAL if not top])
def test_a_function_that_needs_a_package_names_the_extra(hide, tmp_path, name, module):
    (tmp_path / "a.safetensors").touch()
    hide(module)
    with pytest.raises(ImportError) as error:
        NESTED[name, module](tmp_path)
    check(str(error.value), module)


@pytest.mark.parametrize("name", INSIDE)
def test_what_needs_a_package_inside_monai_or_a_backend_names_the_extra(hide, tmp_path, name):
    module = name.split()[0]
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(72))
    (tmp_path / "a.png").write_bytes(bytes(200))
    hide(module)
    with pytest.raises(ImportError) as error:
        INSIDE[name](tmp_path)
    check(str(error.value), module)
