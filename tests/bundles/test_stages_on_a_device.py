# SPDX-License-Identifier: Apache-2.0
"""The method of every stage is built and moved where its network is already on another device, as on a GPU."""

import pytest
import torch
from workflows import parsed, read

from monai_cl_ext import networks
from monai_cl_ext.bundles import bundle_names

ELSEWHERE = "$torch.device('meta')"  # works like a GPU, on any machine, and has no values
STAGES = [
    (name, stage)
    for name in bundle_names()
    for stage in (*read(name, "metadata").get("pretrain_stages", ()), *read(name, "metadata")["train_stages"])
]


@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_a_method_meets_a_network_on_another_device(name, stage, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "with_pretrained", lambda net, **files: net)  # no stage before it was run
    numbers = {"num_classes": 3, "class_names": ["a", "b", "c"]} if name == "dino_classification" else {}
    parser = parsed(name, stage, device=ELSEWHERE, bundle_root=str(tmp_path), **numbers)
    module = parser.get_parsed_content("module")
    tensors = [*module.parameters(), *module.buffers()]
    assert tensors and {tensor.device for tensor in tensors} == {torch.device("meta")}
