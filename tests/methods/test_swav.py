# SPDX-License-Identifier: Apache-2.0
"""SwAV: what it computes, when its queues take part, what it trains, exact resume, and that it learns."""

import copy
import datetime
import os

import pytest
import torch
import torch.distributed as dist
from stripes import network, pretrained
from torch.nn.functional import normalize

from monai_cl_ext.losses import SwAVLoss, sinkhorn
from monai_cl_ext.methods import SwAV

SIZES = (32, 32, 16, 16)
SMALL = {"prototypes": 6, "hidden": 10, "features": 4}


def make(dims=2, **arguments):
    torch.manual_seed(0)
    return SwAV(network(dims), SwAVLoss(), **{**SMALL, **arguments})


def views(sizes=SIZES, dims=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [{"image": torch.rand(4, 1, *[size] * dims, generator=generator)} for size in sizes]


def embeddings(method, sizes=SIZES, seed=0):
    """Of each crop by itself; the head's batch is that of all crops."""
    pooled = [torch.cat([view["image"] for view in views(sizes, seed=seed) if view["image"].shape[-1] == size])
              for size in dict.fromkeys(sizes)]  # fmt: skip
    pooled = dict(zip(dict.fromkeys(sizes), (iter(method.stages(each).split(4)) for each in pooled), strict=True))
    return method.projection_head(torch.cat([next(pooled[size]) for size in sizes])).split(4)


def trained(method, steps, start=0):
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.1, momentum=0.9)
    return go_on(method, optimizer, steps, start)


def go_on(method, optimizer, steps, start):
    for method.iteration in range(start, start + steps):
        optimizer.zero_grad()
        method(views(seed=method.iteration), {})["loss"].backward()
        optimizer.step()
        method.after_step()
    return optimizer


@pytest.mark.parametrize("sizes", [(32, 32), SIZES, (32, 16, 32, 16)])
def test_it_is_the_loss_of_cosines_to_the_prototypes(sizes):
    method = make()
    directions = normalize(method.prototypes.weight, dim=1)
    scores = [normalize(z, dim=1) @ directions.T for z in embeddings(method, sizes)]
    torch.testing.assert_close(method(views(sizes), {})["loss"], SwAVLoss()(scores), rtol=1e-5, atol=1e-6)


def test_queues_keep_each_assigned_crops_embeddings_and_take_part_once_full():
    method = make(queue_size=8)
    used = []
    method.loss.register_forward_pre_hook(lambda module, _, known: used.append(known["queued"]), with_kwargs=True)
    for method.iteration in range(4):
        before = [queue.rows.clone() for queue in method.queues]
        z = embeddings(copy.deepcopy(method), seed=method.iteration)
        loss = method(views(seed=method.iteration), {})["loss"]
        if method.iteration < 2:  # two steps of four rows fill it
            assert used[-1] is None
        else:
            directions = normalize(method.prototypes.weight, dim=1)
            for scores, rows in zip(used[-1], before, strict=True):
                torch.testing.assert_close(scores, rows @ directions.T)
                assert not scores.requires_grad
            scores = [normalize(each, dim=1) @ directions.T for each in z]
            q = [sinkhorn(torch.cat([earlier, own]))[8:] for earlier, own in zip(used[-1], scores, strict=False)]
            terms = [-(q[i] * (scores[v] / 0.1).log_softmax(1)).sum(1).mean() for i in range(2) for v in range(4)
                     if i != v]  # fmt: skip
            torch.testing.assert_close(loss, sum(terms) / 6, rtol=1e-5, atol=1e-6)
        for queue, rows in zip(method.queues, z, strict=False):
            place = method.iteration % 2 * 4
            torch.testing.assert_close(queue.rows[place : place + 4], normalize(rows, dim=1))
    kept = copy.deepcopy(method.state_dict())
    method.eval()(views(), {})
    assert all(torch.equal(value, kept[name]) for name, value in method.state_dict().items() if "queue" in name)


def test_queues_wait_for_their_first_step():
    method, used = make(queue_size=4, queue_start=3), []
    method.loss.register_forward_pre_hook(lambda module, _, known: used.append(known["queued"]), with_kwargs=True)
    trained(method, 5)
    assert [each is not None for each in used] == [False] * 3 + [True] * 2


def test_the_encoder_the_head_and_the_prototypes_are_trained():
    method = make()
    trained(method, 1)
    moved = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    parts = ("stages.network.conv_0", "stages.network.down_", "projection_head", "prototypes")
    assert moved == {name for name, _ in method.named_parameters() if name.startswith(parts)}
    assert moved == {name for name, parameter in method.named_parameters() if parameter.requires_grad}


def test_training_goes_on_from_a_saved_state_bit_for_bit():
    whole, halves = make(queue_size=8, queue_start=1), make(queue_size=8, queue_start=1)
    trained(whole, 6)
    optimizer = trained(halves, 3)
    torch.manual_seed(5)
    resumed = SwAV(network(), SwAVLoss(), **SMALL, queue_size=8, queue_start=1)
    resumed.load_state_dict(halves.state_dict())
    other = torch.optim.SGD([each for each in resumed.parameters() if each.requires_grad], 0.1, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    go_on(resumed, other, 3, 3)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    resumed.load_state_dict(halves.state_dict())
    for queue in resumed.queues:
        queue.rows.mul_(-1)
    go_on(resumed, other, 1, 3)
    assert not torch.equal(resumed.prototypes.weight, whole.prototypes.weight)  # the queues took part


def test_three_dimensions():
    method = make(3)
    assert method(views(dims=3), {})["loss"].isfinite() and method.embed(views(dims=3)[0]["image"]).shape == (4, 32)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"SwAV takes at least 2 view\(s\) of an image, found 1: give PrepareViews"):
        make()(views((32,)), {})
    with pytest.raises(ValueError, match="a queue of 3 rows cannot take 4"):
        make(queue_size=3)(views(), {})
    for name, value in {"prototypes": 0, "hidden": 0, "features": 0, "queue_start": -1, "queue_size": -1}.items():
        with pytest.raises(ValueError, match=name.split("_")[-1]):
            make(**{name: value})
    with pytest.raises(ValueError, match="queue_size must be an integer of at least 0, found 1.5"):
        make(queue_size=1.5)
    with pytest.raises(ValueError, match="queue_start must be an integer of at least 0, found 1.5"):
        make(queue_start=1.5)
    with pytest.raises(ValueError, match="SwAV .* takes batches of two images or more in training, found one image"):
        make()([{"image": view["image"][:1]} for view in views()], {})


def outcome(own):
    """Losses and gradients of four steps, the last with its queues, of the images ``own``; no batch normalization."""
    method = make(queue_size=8).double()
    method.projection_head[1] = torch.nn.Identity()
    for module in method.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    method.train = lambda mode=True: method
    results = []
    for method.iteration in range(4):
        method.zero_grad()
        seen = [{"image": view["image"][own].double()} for view in views(seed=method.iteration)]
        loss = method(seen, {})["loss"]
        loss.backward()
        gradient = [parameter.grad for parameter in method.parameters() if parameter.requires_grad]
        results.append((loss.detach(), gradient, [queue.rows for queue in copy.deepcopy(method.queues)]))
    return results


def work(rank, folder):
    """One of the two processes; results to a file."""
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    torch.save(outcome(slice(0, 3) if rank == 0 else slice(3, 4)), f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # as in test_loss_processes


def test_two_processes_give_the_losses_gradients_and_queues_of_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / str(rank)) for rank in range(2))
    for one, a, b in zip(outcome(slice(0, 4)), first, second, strict=True):
        torch.testing.assert_close((a[0] + b[0]) / 2, one[0], rtol=0, atol=1e-9)
        for whole, part, other in zip(one[1], a[1], b[1], strict=True):
            torch.testing.assert_close((part + other) / 2, whole, rtol=1e-6, atol=1e-9)
        for whole, part, other in zip(one[2], a[2], b[2], strict=True):
            torch.testing.assert_close(part, whole, rtol=0, atol=1e-9)
            assert torch.equal(part, other)


def learning(loss=SwAVLoss):
    return lambda: SwAV(network(), loss(), prototypes=20, hidden=64, features=32, queue_size=128, queue_start=20)


class Unbalanced(SwAVLoss):
    """Assigns each crop by a softmax of its own scores, which nothing keeps from one prototype for all."""

    def forward(self, scores, *, queued=None):
        first, second = (torch.softmax(each.detach() / self.epsilon, 1) for each in scores[:2])
        pairs = [(q, s) for i, q in enumerate((first, second)) for v, s in enumerate(scores) if v != i]
        return sum(-(q * (s / self.temperature).log_softmax(1)).sum(1).mean() for q, s in pairs) / len(pairs)


@pytest.mark.slow
def test_it_learns_what_crops_of_an_image_share():
    sizes = (24, 24, 16, 16)
    start, right = (pretrained(learning(), steps, sizes) for steps in (0, 100))
    broken = pretrained(learning(), 100, sizes, shuffled=True), pretrained(learning(Unbalanced), 100, sizes)
    assert right > 0.95 > 0.85 > max(start, *broken)
