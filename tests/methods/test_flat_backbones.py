# SPDX-License-Identifier: Apache-2.0
"""Every method with the papers' networks of slices: a step on torch's meta device, for shapes and gradients."""

import every_method
import pytest
import torch
from every_method import CALLS, batch

from monai_cl_ext.networks import BCDUNet, UCTransNet
from monai_cl_ext.transforms import PrepareViews

NETWORKS = {"bcdunet": lambda size: BCDUNet(1, 3, 4), "uctransnet": lambda size: UCTransNet(1, 3, size, 4)}
OTHER = {"DINO of a ViT", "DINO of a U-Net", "Supervised of classes"}  # they name their networks


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALLS if name not in OTHER])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_of_every_method(network, name, monkeypatch):
    case = CALLS[name]
    prepare = PrepareViews(case.policies(2), **case.views)
    prepare.set_epoch(1)
    views, tags, *_ = prepare(batch(2), torch.device("meta"))
    size = tuple(views[0]["image"].shape[2:])
    monkeypatch.setattr(every_method, "network", lambda dims: NETWORKS[network](size))
    method = case.make(2).to("meta")
    assert any(isinstance(module, (BCDUNet, UCTransNet)) for module in method.modules())
    method.set_epoch(1)
    losses = method(views, tags)
    losses["loss"].backward()
    trained = [name for name, parameter in method.named_parameters() if parameter.requires_grad]
    assert trained and all(method.get_parameter(name).grad is not None for name in trained)
    method.after_step()
