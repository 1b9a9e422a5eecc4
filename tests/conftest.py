# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several rooms share."""

import os
import sys
from pathlib import Path

import pytest

for room in ("bundles", "losses", "networks", "study", "visualize"):
    sys.path.insert(0, str(Path(__file__).parent / room))

DATA = Path(os.environ.get("MONAI_DATA_DIRECTORY", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set MONAI_DATA_DIRECTORY")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def store_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps prepared volumes out of the user's cache."""
    os.environ["MONAI_CL_EXT_STORE"] = str(tmp_path_factory.mktemp("store"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the GPU tests where there is none."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
