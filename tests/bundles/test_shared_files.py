# SPDX-License-Identifier: Apache-2.0
"""Files that bundles have in common are the same, byte for byte; a bundle cannot read another's."""

import pytest
from workflows import BUNDLES

REFERENCE = BUNDLES / "gcl_segmentation"
EVERYWHERE = ["LICENSE", "configs/logging.conf"]
CONFIGS = ["train", "evaluate", "inference", "multi_gpu_pretrain", "multi_gpu_train", "multi_gpu_evaluate",
           "network_gcl", "network_pcl", "mixup", "self_training"]  # fmt: skip
GCL_SETTINGS = ["paper_acdc", "paper_mmwhs", "paper_prostate"]
OTHERS = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir() and path != REFERENCE)
SEGMENTING = [name for name in OTHERS if name.endswith("_segmentation")]  # they fine-tune as the reference does


def drifted(bundle: str, names: list[str]) -> list[str]:
    """The files of the bundle that are absent or unlike the reference's."""
    pairs = [(name, BUNDLES / bundle / name, REFERENCE / name) for name in names]
    return [name for name, own, other in pairs if not own.is_file() or own.read_bytes() != other.read_bytes()]


@pytest.mark.parametrize("bundle", OTHERS)
def test_licence_and_logging_are_those_of_the_reference(bundle):
    assert drifted(bundle, EVERYWHERE) == []


@pytest.mark.parametrize("bundle", SEGMENTING)
def test_bundles_that_finetune_alike_share_their_configs(bundle):
    assert drifted(bundle, [f"configs/{name}.json" for name in CONFIGS]) == []


def test_the_pretext_tasks_are_run_with_the_settings_of_gcls_paper():
    assert drifted("pretext_segmentation", [f"configs/{name}.json" for name in GCL_SETTINGS]) == []
