# SPDX-License-Identifier: Apache-2.0
"""Refuses learned superpixels that were trained on images of a study's validation or test patients."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

from monai.bundle import ConfigParser

from monai_cl_ext.data.file_names import image_file
from monai_cl_ext.data.image_hash import image_hash
from monai_cl_ext.data.store import image_contents
from monai_cl_ext.study.cells import pretrain_settings
from monai_cl_ext.study.leaks import LeakError
from monai_cl_ext.study.plan import Plan
from monai_cl_ext.transforms.superpixels.weights import settings_of

WEIGHTS = "superpixel_weights"  # id of the file in a config of pre-training
UNKNOWN = (
    "{}: the superpixels of {} do not tell which images they were trained on, so validation and test patients may be "
    "among them; train them by python -m monai_cl_ext superpixels train, which notes them"
)


def refuse_leaking_superpixels(plan: Plan) -> None:
    """Checks the weights of superpixels of every pre-training, also that they are there.

    Images are compared by what they show, with those of older files by the content of their files. It warns of weights
    that do not tell their images.

    Raises:
        LeakError: names the file, the patient and the remedy.
        ValueError: when there is no such file, or it holds no weights of superpixels.
    """
    if plan.transductive:
        return
    held_out = [(part, case) for split in plan.splits for part in ("validation", "test") for case in split[part]]
    files = {file: method for method in plan.methods for file in _weights(plan, method)}
    for file, method in files.items():
        settings = settings_of(file)
        if "images" not in settings:
            warnings.warn(UNKNOWN.format(method, file), stacklevel=2)
        seen = set(settings.get("images", ()))
        for part, case in held_out if seen else ():
            if seen & {image_hash(image_file(case)), *image_contents([case])}:
                raise LeakError(
                    f"{method}: the superpixels of {file} were trained on patient {case['patient']!r}, who is a {part} "
                    "patient; train them again with --leave_out of all validation and test patients, or give "
                    "--transductive to allow it and mark every result"
                )


def _weights(plan: Plan, method: str) -> list[Path]:
    """The files of weights from which the superpixels of a method's pre-training are made."""
    bundle, found = plan.recipes[method].pretraining, []
    if bundle is None:
        return []
    for stage in bundle.pretrain_stages:
        config = bundle.parser(stage)
        if WEIGHTS in config:
            parser = ConfigParser(copy.deepcopy(config.get()))
            parser.update(pretrain_settings(plan, method, stage))
            found.append(parser.get_parsed_content(WEIGHTS))
    return [Path(file) for file in found if file]
