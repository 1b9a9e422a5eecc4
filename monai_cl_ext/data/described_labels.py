# SPDX-License-Identifier: Apache-2.0
"""Names of labels and classes as a dataset.json gives them, by number or by name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from monai_cl_ext.data.decathlon import description_of, read_description, shortened


def label_names(path: Path) -> dict[int, str]:
    """The names of the labels by their numbers, background included, as a ``dataset.json`` gives them.

    ``{"0": "background", "1": "liver"}`` (the Decathlon), ``{"background": 0, "liver": 1}`` (nnU-Net) and
    ``["background", "liver"]`` are read.

    Raises:
        ValueError: when there are no labels, or they are something else, such as nnU-Net's regions of several labels.
    """
    labels = read_description(path).get("labels")
    remedy = "give --classes, such as '[RV,myocardium,LV]'"
    if not isinstance(labels, (dict, list)) or not labels:
        raise ValueError(f"{path} does not name the labels; {remedy}")
    pairs = _numbered(labels)
    regions = [name for number, name in pairs if isinstance(number, (list, tuple))]
    if regions:
        raise ValueError(
            f"{path}: the label {regions[0]!r} is a region of several labels, as nnU-Net has them, which are not read; "
            f"name each number in the label files: {remedy}"
        )
    names = [str(name) for _, name in pairs]
    if not all(_is_number(number) and isinstance(name, (str, int)) for number, name in pairs):
        raise ValueError(f"{path}: expected the labels as numbers with names, found {shortened(labels)}; {remedy}")
    found = {int(number): str(name) for number, name in pairs}
    if len(found) < len(pairs) or len(set(names)) < len(names):
        raise ValueError(f"{path}: two labels have one number or one name, found {shortened(labels)}; {remedy}")
    if "ignore" in names:
        raise ValueError(
            f"{path}: the label 'ignore' of nnU-Net is not read; set these voxels to a class, or leave the cases out, "
            f"and {remedy}"
        )
    return found


def foreground_names(folder: Path) -> dict[int, str]:
    """Names of the labels above 0 in the ``dataset.json`` of a folder, as far as it names single labels.

    The Decathlon's ``{"1": name}``, nnU-Net's ``{name: 1}`` and lists are read; regions of several labels are left out.

    Raises:
        ValueError: when the file is malformed.
    """
    description = description_of(folder)
    labels = read_description(description).get("labels") if description else None
    pairs = [(int(number), str(name)) for number, name in _numbered(labels) if _is_number(number)]
    return dict(sorted((number, name) for number, name in pairs if number > 0))


def class_names(folder: str, num_classes: int) -> list[str] | None:
    """Names of the classes 1 to ``num_classes`` - 1 of a data set, for tables of scores.

    Args:
        folder: of the volumes.
        num_classes: of the network, background included.

    Returns:
        The names that the folder's ``dataset.json`` gives; None where it gives none, or those of other classes.
    """
    names = foreground_names(Path(str(folder)))
    if list(names) == list(range(1, num_classes)):
        return list(names.values())
    if description := description_of(Path(str(folder))):
        warnings.warn(
            f"{description}: expected a name for each of the labels 1 to {num_classes - 1}, found {names or 'none'}; "
            "scores are told by these numbers; give class_names, or name the labels there",
            stacklevel=2,
        )
    return None


def _numbered(labels: Any) -> list[tuple[Any, Any]]:
    """Number and name of each label, whichever of them a dictionary has as its key."""
    if isinstance(labels, list):
        return list(enumerate(labels))
    pairs = list(labels.items()) if isinstance(labels, dict) else []
    if all(_is_number(number) for number, _ in pairs):
        return pairs
    return [(number, name) for name, number in pairs]


def _is_number(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal())
