# SPDX-License-Identifier: Apache-2.0
"""What to do once a method is written."""

from __future__ import annotations

import shlex
from pathlib import Path

from monai_cl_ext.scaffold.new_method import is_checkout

OF_A_BUNDLE = """\
cd {bundle}
python -m pytest scripts        # needs pip install pytest
python -m monai.bundle run --config_file configs/pretrain.json --dataset_dir DIR

Your idea goes into scripts/{name}.py, its settings into configs/pretrain.json."""

OF_A_CHECKOUT = """\
Name the class in monai_cl_ext/methods/__init__.py, then: make bundles; make format
Tests that list all methods: tests/methods/every_method.py, tests/pipelines/test_loader_batches.py
Tests of bundles: tests/bundles/test_contrast_bundles.py
Pages: CHANGELOG.md, the table of methods in README.md, docs/index.md"""


def next_steps(name: str, output: str | Path = ".") -> str:
    """What to do with what :func:`new_method` has written, as text for the terminal."""
    steps = OF_A_CHECKOUT if is_checkout(Path(output)) else OF_A_BUNDLE
    return steps.format(name=name, bundle=shlex.quote(str(Path(output, f"{name}_segmentation"))))
