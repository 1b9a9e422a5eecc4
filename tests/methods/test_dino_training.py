# SPDX-License-Identifier: Apache-2.0
"""DINO in training: the engine with every schedule, and that it learns."""

import math
from functools import partial

import pytest
import torch
from ignite.engine import Events
from monai.handlers import ParamSchedulerHandler
from stripes import network, pretrained

from monai_cl_ext.engines import MethodTrainer, cosine_value
from monai_cl_ext.handlers import ClipEachGradient, DropGradients
from monai_cl_ext.losses import DINOLoss
from monai_cl_ext.methods import DINO, weight_decay_groups
from monai_cl_ext.networks import DINOHead, MultiCropViT


def small():
    torch.manual_seed(0)
    head = partial(DINOHead, out_dim=12, hidden=10, bottleneck=6)
    return DINO(MultiCropViT(1, 16, 4, 24, 48, 2, 2, drop_path=0.1), head, DINOLoss(12))


def trainer(method, batches, epochs, device="cpu", **arguments):
    """The engine as a bundle makes it: every schedule of the paper, and views of two sizes."""
    optimizer = torch.optim.AdamW(weight_decay_groups(method), lr=1e-3)
    steps = epochs * len(batches)

    def schedule(target, start, end):
        arguments = {"start": start, "end": end, "steps": steps}
        return ParamSchedulerHandler(target, cosine_value, arguments, event=Events.ITERATION_STARTED)

    def prepare(batch, device, non_blocking, **kwargs):
        image = batch["image"].to(device, non_blocking=non_blocking)
        return [{"image": image}, {"image": image.flip(-1)}, {"image": image[..., :8, :8]}], {}, ({},), {}

    handlers = [
        schedule(lambda value: setattr(method, "momentum", value), 0.9, 1.0),
        schedule(lambda value: optimizer.param_groups[0].update(weight_decay=value), 0.04, 0.4),
        DropGradients(method.student.head.last_layer),
        ClipEachGradient(optimizer),
    ]
    return MethodTrainer(
        torch.device(device), epochs, batches, method, optimizer, prepare, train_handlers=handlers, **arguments
    )


def test_the_engine_drives_every_schedule():
    method = small()
    engine = trainer(method, [{"image": torch.randn(4, 1, 16, 16)} for _ in range(3)], 2, amp=True)
    start, seen = method.student.head.last_layer.weight.detach().clone(), []

    @engine.on(Events.ITERATION_COMPLETED)
    def note(engine):
        decays = [group["weight_decay"] for group in engine.optimizer.param_groups]
        seen.append((method.momentum, *decays, method.student.head.last_layer.weight.detach().clone()))

    engine.run()
    momenta, decays, others, layers = zip(*seen, strict=True)
    assert momenta == pytest.approx([1 - 0.05 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])
    assert decays == pytest.approx([0.4 - 0.18 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])
    assert set(others) == {0.0}
    assert [torch.equal(layer, start) for layer in layers] == [True] * 3 + [False] * 3
    assert engine.state.output[0]["loss"].isfinite() and method.loss.center.any()


@pytest.mark.gpu
def test_a_warm_iteration_on_the_gpu_never_waits_for_the_host():
    method = small().to("cuda")
    batch = {"image": torch.randn(8, 1, 16, 16).pin_memory()}
    engine = trainer(method, [batch] * 4, 1, "cuda", amp=True, non_blocking=True)
    engine.add_event_handler(
        Events.ITERATION_STARTED(event_filter=lambda _, iteration: iteration == 3),
        lambda engine: torch.cuda.set_sync_debug_mode("error"),
    )
    try:
        engine.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(engine.state.output[0]["loss"])


def dino():
    head = partial(DINOHead, out_dim=64, hidden=64, bottleneck=32)
    return DINO(network(), head, DINOLoss(64), momentum=0.98, teacher_temperature=0.02)


@pytest.mark.slow
def test_it_learns_what_crops_of_an_image_share():
    sizes = (24, 24, 16, 16)
    start, right, broken = (
        pretrained(dino, 0),
        pretrained(dino, 100, sizes),
        pretrained(dino, 100, sizes, shuffled=True),
    )
    assert right > 0.95 > 0.85 > max(start, broken)
