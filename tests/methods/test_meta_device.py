# SPDX-License-Identifier: Apache-2.0
"""Every method on torch's meta device, which has no values: what would make a GPU wait for the host raises there.

``.item()``, ``bool()``, ``nonzero``, ``.cpu()`` and tensors of two devices raise. Numbers that are sent from the host
to the device on the way do not raise, so they are looked for, from the second step on: what follows from the sizes
alone may be worked out once.

Two things are meant for the host and stay outside. Views draw their parameters on the CPU and send them in one copy,
see ``PrepareViews``; self-training predicts its labels between epochs, when ``set_epoch`` begins a round. What a step
may send is named in SENT.
"""

import inspect

import pytest
import torch
from every_method import CALLS, ROWS, batch, size_of
from host_to_device import HostToDevice
from torch import Tensor

from monai_cl_ext import methods
from monai_cl_ext.methods import Method
from monai_cl_ext.transforms import PrepareViews

BOXES = "corners of boxes are drawn by a seeded generator of the CPU and sent in one copy from pinned memory"
SENT = {
    **dict.fromkeys(["BCP", "BCP in its warm-up", "UniMatch", "UniMatch as FixMatch"], BOXES),
    "Mixup": "weights and partners are drawn by a seeded generator of the CPU and sent in one copy from pinned memory",
}


def test_every_method_has_an_entry():
    public = [getattr(methods, name) for name in methods.__all__]
    kinds = [kind for kind in public if inspect.isclass(kind) and issubclass(kind, Method)]
    concrete = {kind.__name__ for kind in kinds if not inspect.isabstract(kind)}
    assert {name.split()[0] for name in CALLS} == concrete


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", CALLS)
def test_a_step_of_training_waits_for_nothing_on_the_host(name, dims):
    case = CALLS[name]
    method = case.make(dims)
    prepare = PrepareViews(case.policies(dims), **case.views)
    prepare.set_epoch(1)
    if name == "Supervised of classes":
        method.network(torch.zeros(ROWS, 1, *size_of(dims)))  # a lazy layer takes its width
    method = method.to("meta")
    method.set_epoch(1)
    views, tags, *_ = prepare(batch(dims), torch.device("meta"))
    assert all(map_.device.type == "meta" for view in views for map_ in view.values())
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    step(method, views, tags, optimizer)
    with HostToDevice() as sent:
        losses = step(method, views, tags, optimizer)
        method.pairs(views, tags)
        if type(method).embed is not Method.embed:
            assert method.embed(views[0]["image"]).shape[0] == ROWS
    assert {loss.device.type for loss in losses.values()} == {"meta"}
    assert trained and all(parameter.grad is not None for parameter in trained)
    assert bool(sent.seen) == (name in SENT), sent.seen


def step(method: Method, views: list, tags: dict, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    losses = method(views, tags)
    losses["loss"].backward()
    optimizer.step()
    method.after_step()
    return losses
