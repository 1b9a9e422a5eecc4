# SPDX-License-Identifier: Apache-2.0
"""A training under other settings than its configs', evaluated and packed."""

import pytest
from workflows import SMALL, copy_bundle, evaluated, run

from monai_cl_ext.data import write_phantom
from monai_cl_ext.packing.metadata import Origin
from monai_cl_ext.packing.pack import pack

GIVEN = {
    "image_size": [32, 32], "pixdim": [6.0, 6.0], "num_classes": 4, "slice_axis": 2, "in_channels": 1,
    "network_def#features": [4, 8, 8, 8, 8, 4],
}  # fmt: skip
"""What was given on the command line of the training, and stands in no config of its folder."""
SETTINGS = SMALL | GIVEN


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("data") / "phantom", patients=8, seed=0)


@pytest.fixture(scope="session")
def given():
    return dict(GIVEN)


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory, phantom):
    """The bundle's folder, and what was scored of each test volume by its file."""
    root = copy_bundle("supervised_segmentation", tmp_path_factory.mktemp("private place"))
    run(root, ["train"], **SETTINGS, dataset_dir=str(phantom), labelled_patients=3)
    return root, evaluated(root, [], **SETTINGS, dataset_dir=str(phantom), class_names=["right", "wall", "left"])


@pytest.fixture(scope="session")
def trained(evaluation):
    """The bundle's folder."""
    return evaluation[0]


@pytest.fixture(scope="session")
def packed(tmp_path_factory, trained):
    name = str(tmp_path_factory.mktemp("packed") / "heart_segmentation")
    return pack(str(trained), name, Origin("A. Uthor", "two scanners of B", "public domain"))
