# SPDX-License-Identifier: Apache-2.0
"""The adversary: whose loss reaches whom, its steps, its state, and two processes."""

import copy
import datetime
import gc
import os
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_cl_ext.methods import Adversary
from monai_cl_ext.networks import patch_discriminator


def adversary(seed=0, width=4, dims=2):
    torch.manual_seed(seed)
    return Adversary(patch_discriminator(1, dims, width))


def images(rows=4, seed=0, dims=2):
    return torch.rand(rows, 1, *[16] * dims, generator=torch.Generator().manual_seed(seed))


def squares(verdict, real, fake):
    return 0.5 * ((verdict(real) - 1).square().mean() + verdict(fake).square().mean())


def learned(made, real, fake):
    return made.learn(lambda verdict: squares(verdict, real, fake))


def weights(made):
    return torch.cat([parameter.detach().flatten() for parameter in made.parameters()])


def stepped_by_hand(steps):
    """The same discriminator under torch's optimizer, its parameters trained as usual."""
    network = adversary().discriminator.requires_grad_(True)
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
    for step in range(steps):
        optimizer.zero_grad()
        squares(network, images(seed=step), images(seed=100 + step)).backward()
        optimizer.step()
    return weights(network)


def test_steps_are_those_of_adam_on_the_discriminators_loss():
    made = adversary()
    for step in range(3):
        learned(made, images(seed=step), images(seed=100 + step))
        made.step()
    torch.testing.assert_close(weights(made), stepped_by_hand(3), rtol=0, atol=1e-6)
    assert not torch.equal(weights(made), weights(adversary()))


def test_gradients_of_micro_batches_take_the_memory_of_one():
    made = adversary()
    size = sum(parameter.numel() for parameter in made.parameters())
    for step in range(4):
        learned(made, images(seed=step), images(seed=100 + step))
    held = [each for each in gc.get_objects() if type(each) is torch.Tensor and each.shape == (size,)]
    assert len(held) == 1


def test_gradients_of_micro_batches_are_averaged():
    whole, parts = adversary(), adversary()
    real, fake = images(8), images(8, seed=1)
    learned(whole, real, fake)
    for rows in (slice(0, 4), slice(4, 8)):
        learned(parts, real[rows], fake[rows])
    for made in (whole, parts):
        made.step()
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-6)
    parts.step()  # nothing is left to step along
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-6)


def test_neither_loss_reaches_the_others_network():
    made, image = adversary(), images().requires_grad_()
    restored = image * 2  # stands for what a network made
    (made(restored) - 1).square().mean().backward(retain_graph=True)
    assert image.grad.abs().max() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in made.parameters())
    before, first = weights(made), image.grad.clone()
    made.step()
    assert torch.equal(weights(made), before)  # the method's loss gave it nothing to learn from
    loss = learned(made, images(seed=3), restored.detach())
    assert not loss.requires_grad and torch.equal(image.grad, first)
    made.step()
    assert not torch.equal(weights(made), before)
    assert all(parameter.grad is None for parameter in made.parameters())


def test_it_learns_in_training_only():
    made = adversary()
    before = weights(made)
    with torch.no_grad():
        assert learned(made, images(), images(seed=1)).isfinite()
    assert learned(made.eval(), images(), images(seed=1)).isfinite()
    made.step()
    assert torch.equal(weights(made), before)


def test_a_copy_and_a_state_go_on_alike():
    made = adversary()
    learned(made, images(), images(seed=1))
    made.step()
    copied, resumed = copy.deepcopy(made), adversary(seed=5)
    resumed.load_state_dict(made.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(made.optimizer.state_dict()))
    for each in (made, copied, resumed):
        learned(each, images(seed=2), images(seed=3))
        each.step()
    assert torch.equal(weights(copied), weights(made)) and torch.equal(weights(resumed), weights(made))


def test_autocast_changes_little():
    made = adversary()
    expected = learned(made, images(), images(seed=1))
    with torch.autocast("cpu", torch.bfloat16):
        found = made.learn(lambda verdict: squares(lambda image: verdict(image).float(), images(), images(seed=1)))
    assert found.dtype == torch.float32 and found.item() == pytest.approx(expected.item(), rel=0.02)
    made.step()
    assert weights(made).isfinite().all() and weights(made).dtype == torch.float32


def test_it_tells_real_images_from_others():
    """A discriminator that learns nothing stays at 1/4 or above; one that learns from mixed images as well."""
    losses = {}
    for kind in ("apart", "mixed"):
        made = adversary(width=8)
        made.optimizer.param_groups[0]["lr"] = 2e-3
        for step in range(60):
            real, fake = images(8, step), images(8, 100 + step).mul(0.5).add(0.25)
            if kind == "mixed":
                pool = torch.cat([real, fake])[torch.randperm(16, generator=torch.Generator().manual_seed(step))]
                real, fake = pool.chunk(2)
            learned(made, real, fake)
            made.step()
        losses[kind] = learned(made, images(8, 500), images(8, 600).mul(0.5).add(0.25)).item()
    assert losses["apart"] < 0.1 < 0.2 < losses["mixed"]


@pytest.mark.parametrize("dims, size, expected", [(2, (224, 224), (28, 28)), (2, (32, 48), (4, 6)),
                                                  (3, (16, 24, 16), (2, 3, 2))])  # fmt: skip
def test_the_papers_discriminator(dims, size, expected):
    network = patch_discriminator(2, dims, 64 if dims == 2 else 8)
    assert network(torch.rand(1, 2, *size)).shape == (1, 1, *expected)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Conv3d))]
    width = layers[0].out_channels
    assert [layer.out_channels for layer in layers] == [width, 2 * width, 4 * width, 8 * width, 1]
    assert {layer.kernel_size for layer in layers} == {(3,) * dims}
    assert [layer.stride[0] for layer in layers] == [2, 2, 2, 1, 1]
    norms = [layer for layer in network.modules() if isinstance(layer, (nn.InstanceNorm2d, nn.InstanceNorm3d))]
    slopes = [layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
    assert len(norms) == 3 and slopes == [0.2] * 4
    deviations = [layer.weight.std().item() for layer in layers[1:-1]]
    assert deviations == pytest.approx([0.02] * 3, rel=0.1)


@pytest.mark.parametrize("arguments, message", [({"channels": 0}, "channels"), ({"spatial_dims": 1}, "spatial_dims"),
                                                ({"width": 0}, "width")])  # fmt: skip
def test_arguments_without_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"{message} must be"):
        patch_discriminator(**arguments)


class Game(nn.Module):
    """A network of one layer and its adversary, as a method that DistributedDataParallel wraps."""

    def __init__(self):
        super().__init__()
        self.adversary = adversary()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, real):
        fake = self.layer(real)
        learned(self.adversary, real, fake.detach())
        return (self.adversary(fake) - 1).square().mean()


def played(wrap, own, micro_batches=1):
    """Weights of both after two steps on images that every process draws alike and takes its part of."""
    game = Game()
    wrapped = wrap(game)
    optimizer = torch.optim.SGD([each for each in game.parameters() if each.requires_grad], 0.1)
    for step in range(2):
        optimizer.zero_grad()
        for rows in images(8, step)[own].chunk(micro_batches):
            (wrapped(rows) / micro_batches).backward()
        optimizer.step()
        game.adversary.step()
    return weights(game)


def work(rank, folder):
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/group", timeout=timeout, rank=rank, world_size=2)
    own = slice(4 * rank, 4 * rank + 4)
    results = [played(DistributedDataParallel, own, count) for count in (1, 2)]
    torch.save(results, f"{folder}/{rank}")
    dist.destroy_process_group()
    os._exit(0)  # with DDP and gloo, torch 2.13 aborts now and then while the interpreter shuts down


def test_two_processes_step_as_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / str(rank)) for rank in range(2))
    expected = played(lambda game: game, slice(0, 8))
    alone = played(lambda game: game, slice(0, 4))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, expected, rtol=0, atol=2e-6)
    assert (alone - expected).abs().max() > 1e-4  # what a process without the other would step to


def test_a_discriminator_may_take_several_inputs():
    made, given = Adversary(nn.Bilinear(3, 3, 1)), torch.rand(2, 4, 3)
    before = weights(made)
    assert made.learn(lambda verdict: verdict(*given).square().mean()).item() == made(*given).square().mean().item()
    made.step()
    assert not torch.equal(weights(made), before)


def test_another_optimizer_may_be_given():
    made = Adversary(patch_discriminator(width=4), partial(torch.optim.SGD, lr=0.5))
    assert made.optimizer.defaults["lr"] == 0.5
    before = weights(made)
    learned(made, images(), images(seed=1))
    made.step()
    assert not torch.equal(weights(made), before)


@pytest.mark.gpu
def test_a_warm_step_on_the_gpu_never_waits_for_the_host():
    made = adversary().to("cuda")
    real, fake = images().cuda(), images(seed=1).cuda()
    for mode in ("default", "default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            learned(made, real, fake)
            made.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert weights(made).isfinite().all() and weights(made).is_cuda
