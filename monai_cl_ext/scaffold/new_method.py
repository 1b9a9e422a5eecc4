# SPDX-License-Identifier: Apache-2.0
"""Writes a method that works, with its test and its bundle, to be changed into one's own."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from monai.bundle.config_item import ComponentLocator

from monai_cl_ext import methods
from monai_cl_ext.bundles import bundle_names
from monai_cl_ext.bundles.build import files_of, write_files

TEMPLATES = Path(__file__).with_name("templates")
MODULE, CLASS, BUNDLE = "own_method", "OwnMethod", "own_method_segmentation"
SOURCE = "monai_cl_ext/bundles/source/bundles"
IN_REPOSITORY = {
    "scripts/own_method.py": "monai_cl_ext/methods/own_method.py",
    "scripts/test_own_method.py": "tests/methods/test_own_method.py",
    "scripts.own_method": "monai_cl_ext.methods",
}
"""Where files of a bundle's ``scripts`` stand in this package's repository, and how the method is imported there."""


def new_method(name: str, output: str | Path = ".") -> list[Path]:
    """Writes a method, its test and its bundle under a new name; nothing is overwritten.

    Outside this package's repository that is one folder, ``output/NAME_segmentation``: a bundle whose ``scripts`` hold
    the method and the test. In a checkout the files go where those of the package's own methods are.

    Args:
        name: of the method's module, in lower case: ``my_method`` has the class ``MyMethod``.
        output: folder of bundles, or of a checkout.

    Returns:
        The files that were written.

    Raises:
        ValueError: when the name is no module's name, or its class or bundle is one of MONAI's or of this package.
        FileExistsError: when something of it is there already.
    """
    class_name = _class_name(name)
    root = Path(output)
    templates = _for_repository() if is_checkout(root) else _for_project()
    names = {MODULE: name, CLASS: class_name}
    files = {_replaced(path, names): _replaced(text, names) for path, text in templates.items()}
    whole = [] if is_checkout(root) else [root / f"{name}_segmentation"]  # a bundle's folder is new as a whole
    for path in [*whole, *(root / path for path in files)]:
        if path.exists():
            raise FileExistsError(f"{path} exists already; give another name or --output, or remove it")
    write_files(files, root)
    return [root / path for path in files]


def is_checkout(folder: Path) -> bool:
    """Whether a folder is a checkout of this package's repository."""
    return (folder / SOURCE).is_dir()


def _class_name(name: str) -> str:
    """The name of the class; see :func:`new_method` for the errors."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(f"name must be that of a Python module, in lower case such as my_method, found {name!r}")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    taken = ComponentLocator().get_component_module_name(class_name)  # of MONAI and, by its name, of this package
    if taken or class_name in methods.__all__:
        raise ValueError(f"name {name!r}: there is a class {class_name} already, in {taken}; give another name")
    if f"{name}_segmentation" in bundle_names():
        raise ValueError(f"name {name!r}: there is a bundle {name}_segmentation already; give another name")
    return class_name


def _for_project() -> dict[str, str]:
    """The templates as a bundle with scripts: text by path."""
    scripts = {f"scripts/{path.name}": _text(path) for path in (TEMPLATES / "scripts").glob("*.py")}
    return {f"{BUNDLE}/{path}": text for path, text in {**scripts, **files_of(TEMPLATES / BUNDLE)}.items()}


def _for_repository() -> dict[str, str]:
    """The templates as source of a bundle, page, and modules of the package and of its tests."""
    source = {f"{SOURCE}/{BUNDLE}/{path.name}": path for path in (TEMPLATES / BUNDLE).glob("*.*")}
    code = {place: TEMPLATES / path for path, place in IN_REPOSITORY.items() if (TEMPLATES / path).is_file()}
    page = {f"docs/{MODULE}_bundle.md": TEMPLATES / f"{MODULE}_bundle.md"}
    return {place: _replaced(_text(path), IN_REPOSITORY) for place, path in {**code, **source, **page}.items()}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _replaced(text: str, names: dict[str, str]) -> str:
    """The text with each name in place of another, in one pass."""
    return re.sub("|".join(map(re.escape, names)), lambda found: names[found[0]], text)
