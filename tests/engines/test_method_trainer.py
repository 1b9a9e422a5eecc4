# SPDX-License-Identifier: Apache-2.0
"""The trainer: what it steps, clips, records and fires."""

import os
from contextlib import nullcontext
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.engines import MethodTrainer, precision
from monai_cl_ext.methods import GCLGlobal, Method
from monai_cl_ext.networks import GCLUNet
from monai_cl_ext.transforms import PrepareViews, gcl_intensity_policy, gcl_policy


class Line(Method):
    """Pulls one weight towards the mean of the batch; counts how often it is told of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.steps = 0

    views = 1

    @property
    def predictor(self):
        return self

    def forward(self, views, tags):
        part = (self.weight - views[0]["image"].mean()) ** 2
        return {"loss": 2 * part, "part": part}

    def after_step(self) -> None:
        self.steps += 1


class Multiplied(Line):
    def forward(self, views, tags):
        self.seen = (views[0]["image"] @ (self.weight + torch.zeros(4, 4))).dtype
        return super().forward(views, tags)


def prepare(batch, device, non_blocking, **kwargs):
    return [{"image": batch["image"].to(device)}], {}, ({},), {}


def trainer(images, rate=0.1, method=None, prepare_batch=prepare, **kwargs) -> MethodTrainer:
    method = Line() if method is None else method
    return MethodTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": image} for image in images],
        method=method,
        optimizer=torch.optim.SGD(method.parameters(), lr=rate),
        prepare_batch=prepare_batch,
        **kwargs,
    )


def test_a_step_is_gradient_descent_on_the_loss():
    engine = trainer([torch.full((2,), 3.0)])
    engine.run()
    assert engine.method.weight.item() == pytest.approx(0.1 * 2 * 2 * 3.0)
    assert engine.method.steps == 1
    assert set(engine.state.output[0]) == {"loss", "part"}
    assert not engine.state.output[0]["loss"].requires_grad


def test_accumulated_steps_use_the_mean_gradient_and_flush_at_the_end_of_the_epoch():
    engine = trainer([torch.tensor([value]) for value in (1.0, 3.0, 5.0)], accumulation_steps=2)
    engine.run()
    after_two = 0.1 * 0.5 * (4 * 1.0 + 4 * 3.0)
    after_flush = after_two - 0.1 * 4 * (after_two - 5.0)  # one batch is its own mean
    assert engine.method.weight.item() == pytest.approx(after_flush)
    assert engine.method.steps == 2


def test_the_gradient_norm_is_clipped():
    engine = trainer([torch.tensor([100.0])], rate=1.0, maximum_gradient_norm=0.5)
    engine.run()
    assert engine.method.weight.item() == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(ValueError, match="maximum_gradient_norm"):
        trainer([torch.ones(1)], maximum_gradient_norm=-1.0)


def test_every_iteration_event_fires_once_an_iteration_in_order():
    engine = trainer([torch.ones(1), torch.ones(1)])
    fired = []
    for event in IterationEvents:
        if event.name in ("FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED"):
            engine.add_event_handler(event, lambda engine, name=event.name: fired.append(name))
    engine.run()
    assert fired == 2 * ["FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED"]


@pytest.mark.parametrize("supported", [True, False])
def test_amp_computes_in_bfloat16_where_the_cpu_can_and_keeps_float32_weights(supported, monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: supported)

    method = Multiplied()
    with nullcontext() if supported else pytest.warns(UserWarning, match="no kernels for bfloat16"):
        engine = MethodTrainer(
            torch.device("cpu"), 1, [{"image": torch.ones(4, 4)}], method,
            torch.optim.SGD(method.parameters(), lr=0.1), prepare, amp=True,
        )  # fmt: skip
    engine.run()
    assert method.seen == (torch.bfloat16 if supported else torch.float32)
    assert method.weight.dtype == torch.float32 and method.weight.item() != 0


def test_the_network_is_in_training_mode_again_after_something_evaluated_it():
    engine = trainer([torch.ones(1), torch.ones(1)])
    modes = []
    engine.add_event_handler(Events.ITERATION_STARTED, lambda engine: engine.network.eval())
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: modes.append(engine.network.training))
    engine.run()
    assert modes == [True, True]


@pytest.mark.gpu
@pytest.mark.parametrize("strategy, views", [("gr", 2), ("gd-", 3), ("gd", 3)])
def test_a_warm_iteration_on_the_gpu_never_waits_for_the_host(strategy, views):
    device = torch.device("cuda")
    method = GCLGlobal(GCLUNet(), strategy, image_size=(64, 64)).to(device)
    rows = {"image": torch.rand(8, 1, 64, 64), "volume": torch.arange(8) // 4, "partition": torch.arange(8) % 4}
    batch = {name: value.pin_memory() for name, value in rows.items()}
    engine = MethodTrainer(
        device, 1, [batch] * 4, method, torch.optim.Adam(method.parameters(), fused=True),
        PrepareViews([gcl_policy()] * views), amp=True, non_blocking=True,
    )  # fmt: skip
    engine.add_event_handler(
        Events.ITERATION_STARTED(event_filter=lambda _, iteration: iteration == 3),
        lambda engine: torch.cuda.set_sync_debug_mode("error"),
    )
    try:
        engine.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(engine.state.output[0]["loss"])


def test_an_epoch_waits_for_nothing_on_the_device():
    """On torch's meta device, which has no values and no autocast, whatever makes the host wait raises."""
    method = GCLGlobal(GCLUNet(), "gr", 64).to("meta")
    row = torch.arange(4)
    batch = {"image": torch.rand(4, 1, 64, 64), "volume": row // 2, "partition": row % 2}
    engine = MethodTrainer(
        device="meta",
        max_epochs=1,
        train_data_loader=[batch] * 3,
        method=method,
        optimizer=torch.optim.AdamW([parameter for parameter in method.parameters() if parameter.requires_grad]),
        prepare_batch=PrepareViews([gcl_policy(64)] * 2),
        maximum_gradient_norm=1.0,
        accumulation_steps=2,
    )
    engine.run()
    assert engine.state.output[0]["loss"].device.type == "meta" and engine.state.iteration == 3
    assert method.iteration == 1 and method.embed(engine.state.views[0]["image"]).device.type == "meta"


class Several(Method):
    """Two methods and one that holds a third: each is told of a step once."""

    views = 1

    def __init__(self, *parts: Method) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.again = parts[0]

    @property
    def predictor(self):
        return self

    def forward(self, views, tags):
        return {"loss": sum(part(views, tags)["loss"] for part in self.parts)}


def test_inner_methods_are_told_of_every_step_once_however_deep():
    lines = [Line() for _ in range(3)]
    method = Several(lines[0], Several(lines[1]), lines[2])
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    MethodTrainer("cpu", 2, [{"image": torch.ones(1)}] * 3, method, optimizer, prepare).run()
    assert [line.steps for line in lines] == [6, 6, 6] and [line.iteration for line in lines] == [5, 5, 5]


VALUES = torch.tensor([[1.0, 7.0], [3.0, 2.0], [5.0, 4.0], [2.0, 2.0], [6.0, 1.0]])  # of five batches, two processes


def accumulated(images, wrap=lambda method: method, reductions=None) -> float:
    """The weight after an epoch of steps of two batches, the last of one."""
    method = Line()
    wrapped = wrap(method)
    if reductions is not None:
        wrapped.register_comm_hook(reductions, counted)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    batches = [{"image": image} for image in images]
    MethodTrainer("cpu", 1, batches, wrapped, optimizer, prepare, accumulation_steps=2).run()
    return method.weight.item()


def counted(reductions, bucket):
    reductions.append(bucket.index())
    return allreduce_hook(None, bucket)


def work(rank, folder):
    torch.set_num_threads(1)
    timeout = timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    reductions = []
    weight = accumulated(VALUES[:, rank : rank + 1], DistributedDataParallel, reductions)
    torch.save((weight, len(reductions)), f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # with DDP and gloo, torch 2.13 aborts now and then while the interpreter shuts down


def test_two_processes_average_their_gradients_once_a_step_and_step_as_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    (first, reductions), (second, others) = (torch.load(tmp_path / str(rank)) for rank in range(2))
    assert first == second == pytest.approx(accumulated(VALUES), abs=1e-6)
    assert reductions == others == 3


def test_autocast_takes_the_arguments_of_monais_trainer(monkeypatch):
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    found = {}
    for enabled in True, False:
        engine = trainer([torch.ones(4, 4)], method=Multiplied(), amp=True, amp_kwargs={"enabled": enabled})
        engine.run()
        found[enabled] = engine.method.seen
    assert found == {True: torch.bfloat16, False: torch.float32}
    with pytest.raises(ValueError, match="dtype must be torch.bfloat16, found torch.float16"):
        trainer([torch.ones(1)], amp=True, amp_kwargs={"dtype": torch.float16})


def test_compiling_is_refused():
    with pytest.raises(ValueError, match=r"compiles nothing, found compile=True: .* network.compile\(\) before Line"):
        trainer([torch.ones(1)], compile=True)


@pytest.mark.parametrize(
    "policies, made_from, moved",
    [
        ([gcl_policy, gcl_policy], None, [0, 1]),
        ([gcl_intensity_policy, gcl_policy], [None, 0], [1]),
        ([gcl_intensity_policy] * 2, None, None),
        ([gcl_policy, gcl_intensity_policy], [None, 0], None),
    ],
)
def test_views_that_are_compared_place_by_place_share_their_geometry(policies, made_from, moved):
    class Aligned(Line):
        views = 2
        aligned_views = slice(None)

    prepare_batch = PrepareViews([policy(32) for policy in policies], made_from)
    problem = None if moved is None else f"Aligned compares the views [0, 1] place by place, found a policy .*{moved}"
    with nullcontext() if moved is None else pytest.raises(ValueError, match=problem.replace("[", r"\[")):
        trainer([torch.ones(1)], method=Aligned(), prepare_batch=prepare_batch)
    trainer([torch.ones(1)], prepare_batch=PrepareViews([gcl_policy()]))  # what compares nothing takes any
