# SPDX-License-Identifier: Apache-2.0
"""Training of networks that give several maps: each learns, by MONAI's weights, and one of them is the result."""

import copy

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks.nets import DynUNet, SegResNetDS
from semi_supervised_cases import MASKED, METHODS, SUPERVISED, convolutions, parts, views
from torch import nn
from torch.nn.functional import mse_loss

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.methods import BCP, Mixup, SelfTraining, Supervised
from monai_cl_ext.methods.deep_supervision import maps_of, supervised_loss
from monai_cl_ext.transforms import PrepareViews, identity_policy

SHARES = 1.0, 0.5, 0.25, 0.125, 0.0625, 0.0625
UNABLE = {"UniMatch", "URPC", "MCNet"}
OF_ONE_MAP = {"MeanTeacher", "UAMT", "CrossPseudoSupervision", "CauSSL", "DAN"}  # their consistency is of the finest
STAGED = {"DTC", "SASSNet"}  # ask for the stages of a network, tested with those of a DynUNet


def dyn_unet(dims=2, heads=2, seed=0):
    torch.manual_seed(seed)
    return DynUNet(
        dims, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=(4, 6, 8, 10),
        deep_supervision=heads > 0, deep_supr_num=max(heads, 1),
    )  # fmt: skip


class Stacked(nn.Module):
    """Maps of three networks, stacked as a DynUNet does in training; the first alone in evaluation."""

    def __init__(self, seed=0):
        super().__init__()
        self.networks = nn.ModuleList(convolutions(3 * seed + number) for number in range(3))

    def forward(self, image):
        maps = [network(image) for network in self.networks]
        return torch.stack(maps, dim=1) if self.training else maps[0]


def volume(dims=3, rows=2):
    generator = torch.Generator().manual_seed(0)
    size = (16,) * dims
    return {
        "image": torch.randn(rows, 1, *size, generator=generator),
        "label": torch.randint(3, (rows, 1, *size), generator=generator, dtype=torch.uint8),
    }


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("heads", [0, 1, 2])
def test_supervised_training_is_the_weighted_sum_of_all_maps(dims, heads):
    net, view = dyn_unet(dims, heads).train(), volume(dims)
    loss = Supervised(net, SUPERVISED)([view], {})["loss"]
    result, label = net(view["image"]), view["label"].long()
    maps = result.unbind(1) if heads else [result]
    assert len(maps) == 1 + heads
    expected = sum(share * SUPERVISED(each, label) for share, each in zip(SHARES, maps, strict=False))
    torch.testing.assert_close(loss, expected)
    listed = list(maps) if heads else maps[0]
    torch.testing.assert_close(loss, DeepSupervisionLoss(SUPERVISED)(listed, label))
    loss.backward()
    reached = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert reached == {name for name, _ in net.named_parameters()}


@pytest.mark.parametrize(
    "given,shares", [({"weights": [0.2, 3.0, 0.7]}, (0.2, 3.0, 0.7)), ({"weight_mode": "two"}, (1.0, 0.5, 0.5))]
)
def test_a_deep_supervision_loss_says_other_weights(given, shares):
    net, view = dyn_unet(), volume(2)
    loss = Supervised(net, DeepSupervisionLoss(SUPERVISED, **given))([view], {})["loss"]
    maps = net(view["image"]).unbind(1)
    expected = sum(share * SUPERVISED(each, view["label"].long()) for share, each in zip(shares, maps, strict=True))
    torch.testing.assert_close(loss, expected)
    net.eval()
    one = Supervised(net, DeepSupervisionLoss(SUPERVISED, **given))([view], {})["loss"]
    torch.testing.assert_close(one, SUPERVISED(net(view["image"]), view["label"].long()))


def test_maps_of_several_sizes_meet_labels_of_theirs():
    torch.manual_seed(0)
    net = SegResNetDS(3, 8, 1, 3, blocks_down=(1, 1, 1), dsdepth=2).train()
    view = volume()
    maps, label = net(view["image"]), view["label"]
    assert [each.shape[-1] for each in maps] == [16, 8]
    expected = DeepSupervisionLoss(SUPERVISED)(maps, label.float())
    torch.testing.assert_close(Supervised(net, SUPERVISED)([view], {})["loss"], expected)
    seen = []
    supervised_loss(lambda logits, target: seen.append(target) or logits.sum(), maps, label.long())
    assert [each.dtype for each in seen] == [torch.int64] * 2 and torch.equal(seen[1], label[..., 1::2, 1::2, 1::2])


def test_results_that_are_no_maps_are_one():
    image = torch.zeros(2, 1, 8, 8)
    for shape in ((2, 5), (2, 3, 8, 8)):
        (one,) = maps_of(torch.zeros(shape), image)
        assert one.shape == shape
    assert [each.shape for each in maps_of(torch.zeros(2, 4, 3, 8, 8), image)] == [(2, 3, 8, 8)] * 4


def test_precision_of_the_sum():
    maps = [torch.randn(2, 3, 4, 4, dtype=dtype) for dtype in (torch.bfloat16, torch.float64)]
    target = torch.randint(3, (2, 1, 4, 4))
    for one in maps:
        assert supervised_loss(SUPERVISED, [one, one], target).dtype == torch.promote_types(one.dtype, torch.float32)


def test_smaller_targets_keep_their_precision():
    target = torch.full((1, 1, 4, 4), 1 / 3, dtype=torch.float64)
    maps = [torch.full((1, 1, size, size), 1 / 3, dtype=torch.float64) for size in (4, 2)]
    assert supervised_loss(nn.MSELoss(), maps, target).item() == 0


def test_a_step_of_the_trainer_and_evaluation_of_one_map():
    net, view = dyn_unet(3), volume()
    method = Supervised(net, SUPERVISED)
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    MethodTrainer("cpu", 1, [view], method, optimizer, PrepareViews([identity_policy(spatial_dims=3)])).run()
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {f"deep_supervision_heads.{head}.conv.conv.weight" for head in (0, 1)} < changed
    assert method.predictor.eval()(view["image"]).shape == (2, 3, 16, 16, 16)


def test_mixup_and_self_training_train_all_maps():
    view, loss = volume(2), DiceCELoss(softmax=True)
    for wrap in (lambda method: method, lambda method: SelfTraining(method, None, epochs=8)):
        net = dyn_unet()
        method = wrap(Mixup(net, loss, num_classes=3))
        method.set_epoch(2)
        method([view], {})["loss"].backward()
        assert all(head.conv.conv.weight.grad.abs().sum() > 0 for head in net.deep_supervision_heads)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in UNABLE | STAGED])
def test_semi_supervised_methods_train_every_map(name):
    """The heads get a gradient, and what networks agree on is the finest map: the other maps leave it alone."""
    method = METHODS[name](Stacked).train()
    method.set_epoch(1)
    method.iteration = 5
    losses = method(views(), {})
    supervised, consistency = parts(losses, method)
    heads = [list(network.parameters()) for network in method.network.networks]
    gradients = [torch.autograd.grad(supervised, head, retain_graph=True) for head in heads]
    assert all(sum(each.abs().sum() for each in head) > 0 for head in gradients)
    others = torch.autograd.grad(consistency, [each for head in heads[1:] for each in head])
    assert (not any(each.any() for each in others)) == (name in OF_ONE_MAP)


def test_mean_teacher_compares_the_finest_maps():
    method = METHODS["MeanTeacher"](Stacked, noise=0.0).train()
    (view,) = views()
    losses = method([view], {})
    student, teacher = method.network(view["image"]), method.teacher(view["image"][2:])
    expected = mse_loss(student[2:, 0].softmax(1), teacher[:, 0].softmax(1))
    torch.testing.assert_close(losses["consistency"], expected)
    label = view["label"][:2].long()
    expected = sum(share * SUPERVISED(student[:2, number], label) for number, share in enumerate(SHARES[:3]))
    torch.testing.assert_close(losses["supervised"], expected)


def test_copy_paste_masks_every_map():
    method = METHODS["BCP"](Stacked).train()
    method.set_epoch(1)
    together = method(views(), {})["loss"]  # of the warm-up
    one_by_one = []
    for number in range(3):
        single = BCP(method.network.networks[number], MASKED, 2, 2).train()
        single.set_epoch(1)
        one_by_one.append(single(views(), {})["loss"])
    torch.testing.assert_close(together, sum(map(torch.mul, map(torch.tensor, SHARES), one_by_one)))


@pytest.mark.parametrize("name", sorted(UNABLE))
def test_a_method_that_cannot_says_so_before_the_training(name):
    with pytest.raises(ValueError, match=f"{name} trains one map of logits of DynUNet, which was built with deep"):
        METHODS[name](lambda seed: dyn_unet(seed=seed))


def test_several_maps_of_a_network_that_does_not_tell_of_them():
    for more in ({}, {"feature_dropout": 0.0}):
        method = METHODS["UniMatch"](lambda seed: dyn_unet(heads=0, seed=seed), **more).train()
        method.set_epoch(1)
        one = method.network.forward
        method.network.forward = lambda image, one=one: [one(image)] * 3
        with pytest.raises(ValueError, match="UniMatch trains one map of logits, found 3 .* without it"):
            method(views(count=method.views), {})
