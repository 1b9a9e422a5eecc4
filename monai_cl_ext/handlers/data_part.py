# SPDX-License-Identifier: Apache-2.0
"""The image files and patients of one part of the data, in whichever way a handler is given it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def files_and_patients(content: Any) -> tuple[list[str], list[str]]:
    """The file of each image, of several channels the first, and the patients: one for each file, or each once.

    Args:
        content: a dataset with ``files`` and ``patients`` as ``data.SliceDataset``, a dataset whose ``data`` is a list
            of cases, or such a list.
    """
    from monai_cl_ext.data.file_names import image_file  # not above: training needs none of what reads data

    if hasattr(content, "files"):
        return list(content.files), list(content.patients)
    cases: Sequence[Mapping[str, Any]] = getattr(content, "data", content)
    return [image_file(case) for case in cases], [str(case.get("patient", case["image"])) for case in cases]
