# SPDX-License-Identifier: Apache-2.0
"""A configuration that would not run is found without data."""

import pytest
from monai.bundle import ConfigParser

from monai_cl_ext.packing.references import reached, refuse_incomplete

VOLUMES = "monai_cl_ext.data.volume_dataset"
CONFIG = {
    "cases": [1, 2], "size": "$@parts#image[0]", "parts": {"image": "@side"}, "side": [3], "unused": "@nothing",
    "dataset": {"_target_": VOLUMES, "data": "@cases", "transform": "$lambda case: @size"},
    "run": ["$len(@dataset)"],
}  # fmt: skip


def test_what_is_referred_to_is_followed():
    assert set(reached(ConfigParser(dict(CONFIG)), "run", "absent")) == {
        "run", "dataset", "cases", "size", "parts#image", "side"
    }  # fmt: skip
    assert refuse_incomplete(ConfigParser(dict(CONFIG)), "run") == 6


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"side": "@top"}, "^side refers to top, which the configuration lacks"),
        ({"dataset": {"_target_": VOLUMES, "transform": None}}, f"^dataset: {VOLUMES} missing a required .*'data'"),
        ({"parts": {"image": {"_target_": VOLUMES, "cases": "@side"}}}, f"^parts#image: {VOLUMES} .*'data'"),
    ],
)
def test_what_lacks_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        refuse_incomplete(ConfigParser(CONFIG | changed), "run")


def test_what_cannot_be_told_here_passes():
    partial = {"_target_": VOLUMES, "_mode_": "callable", "transform": None}
    for target in (partial, {"_target_": "not_installed.Network"}, {"_target_": "torch.Tensor"}):
        assert refuse_incomplete(ConfigParser(CONFIG | {"dataset": target}), "run") > 1
