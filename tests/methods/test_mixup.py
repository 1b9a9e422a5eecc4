# SPDX-License-Identifier: Apache-2.0
"""Mixup: its formula, its draws, and that it trains."""

import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch import nn

from monai_cl_ext.methods import Mixup
from monai_cl_ext.methods.mixup import mixed
from monai_cl_ext.transforms import PrepareViews, identity_policy


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def batch() -> dict[str, torch.Tensor]:
    label = torch.randint(3, (6, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return {"image": noise(6, 1, 24, 24), "label": label}


def view() -> list[dict[str, torch.Tensor]]:
    return PrepareViews([identity_policy()])(batch())[0]


class Recorder(nn.Module):
    """Stands for network and loss: keeps what they are given."""

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        self.given = given
        return given[0]


def method(alpha: float = 1.0, seed: int = 0, network: nn.Module | None = None, loss: nn.Module | None = None) -> Mixup:
    return Mixup(network or Recorder(), loss or Recorder(), num_classes=3, alpha=alpha, seed=seed)


def test_the_formula_for_given_weights_and_partners():
    rows = noise(3, 2, 4, 5, dtype=torch.float64)
    found = mixed(rows, torch.tensor([[0.25, 1], [1.0, 2], [0.0, 0]]))
    torch.testing.assert_close(found[0], 0.25 * rows[0] + 0.75 * rows[1])
    assert torch.equal(found[1], rows[1]) and torch.equal(found[2], rows[0])


def test_image_and_label_are_mixed_alike():
    data, made = batch(), method()
    params = method().make_params(6)
    made(view(), {})
    image, label = made.loss.given
    assert image.dtype == label.dtype == torch.float32 and torch.equal(image, made.network.given[0])
    onehot = torch.stack([(data["label"][:, 0] == number).float() for number in range(3)], dim=1)
    for row, (weight, partner) in enumerate(params.tolist()):
        other = int(partner)
        torch.testing.assert_close(image[row], weight * data["image"][row] + (1 - weight) * data["image"][other])
        torch.testing.assert_close(label[row], weight * onehot[row] + (1 - weight) * onehot[other])
    torch.testing.assert_close(label.sum(dim=1), torch.ones(6, 24, 24))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_weights_are_beta_and_partners_are_a_permutation(alpha):
    made = method(alpha)
    params = torch.stack([made.make_params(8) for _ in range(1000)])
    weight, partner = params.unbind(dim=-1)
    assert weight.min() >= 0 and weight.max() <= 1
    assert weight.mean().item() == pytest.approx(0.5, abs=0.02)
    assert weight.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    assert torch.equal(partner.sort(dim=1).values, torch.arange(8.0).expand(1000, 8))
    assert len(partner.unique(dim=0)) > 900


def test_draws_are_a_function_of_seed_and_epoch():
    first, again, later, other_seed = (method(seed=seed) for seed in (5, 5, 5, 6))
    first.make_params(6)  # what was drawn before an epoch began leaves no trace in it
    for made, epoch in ((first, 3), (again, 3), (later, 4), (other_seed, 3)):
        made.set_epoch(epoch)
    one, two = first.make_params(6), first.make_params(6)
    assert torch.equal(one, again.make_params(6)) and torch.equal(two, again.make_params(6))
    for different in (two, later.make_params(6), other_seed.make_params(6)):
        assert not torch.allclose(one, different)


def test_the_draws_are_not_those_of_the_views():
    assert method().generator().initial_seed() != PrepareViews([identity_policy()]).generator().initial_seed()


@pytest.mark.parametrize("loss", [DiceCELoss, DiceLoss])
def test_monai_s_losses_take_soft_labels(loss):
    """With all weights 1 the loss is that of the hard labels; its cross-entropy is linear in the labels."""
    net = nn.Conv2d(1, 3, 3, padding=1)
    hard = loss(to_onehot_y=True, softmax=True)(net(batch()["image"]), batch()["label"].long())
    made = method(network=net, loss=loss(to_onehot_y=False, softmax=True))
    made.make_params = lambda rows, device: torch.stack([torch.ones(rows), torch.arange(float(rows))], dim=1)
    torch.testing.assert_close(made(view(), {})["loss"], hard)


def test_it_learns():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    images = torch.rand(8, 1, 16, 16)
    data = {"image": images, "label": (images > 0.5).byte()}
    made = method(alpha=0.2, network=net, loss=DiceCELoss(softmax=True))
    views, tags, *_ = PrepareViews([identity_policy()])(data)
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    hard = DiceCELoss(to_onehot_y=True, softmax=True)
    before = hard(net(images), data["label"]).item()
    for _ in range(40):
        optimizer.zero_grad()
        made(views, tags)["loss"].backward()
        optimizer.step()
    assert hard(net(images), data["label"]).item() < 0.5 * before


@pytest.mark.gpu
def test_cuda_draws_as_the_cpu():
    torch.testing.assert_close(method().make_params(6, "cuda").cpu(), method().make_params(6))


def test_arguments_without_meaning_are_refused():
    with pytest.raises(ValueError, match="alpha must be a finite number above 0, found 0"):
        method(alpha=0)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, found 0"):
        Mixup(nn.Identity(), nn.Identity(), 0)
    with pytest.raises(ValueError, match="DiceCELoss has to_onehot_y: labels are one-hot and may be soft here"):
        method(loss=DiceCELoss(to_onehot_y=True, softmax=True))
