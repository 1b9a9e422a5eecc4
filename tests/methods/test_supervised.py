# SPDX-License-Identifier: Apache-2.0
"""Supervised training as a method: its loss is that of MONAI's trainer, bit for bit."""

import copy

import pytest
import torch
from monai.data import MetaTensor
from monai.engines import SupervisedTrainer
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import nn

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.methods import Mixup, Supervised
from monai_cl_ext.transforms import (
    PrepareViews,
    RandPolicyd,
    Rotation,
    ViewPolicy,
    gcl_finetune_policy,
    identity_policy,
)


def batches(count: int = 3) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.rand(4, 1, 32, 32, generator=generator),
            "label": torch.randint(3, (4, 1, 32, 32), dtype=torch.uint8, generator=generator),
            "class": torch.randint(3, (4,), generator=generator),
        }
        for _ in range(count)
    ]


def network() -> BasicUNet:
    torch.manual_seed(0)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=3, features=(4, 8, 8, 8, 8, 4), norm="batch")


def test_its_steps_are_those_of_monai_s_trainer():
    ours, monais = network(), network()
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    policy = gcl_finetune_policy()
    MethodTrainer(
        torch.device("cpu"), 1, batches(), Supervised(ours, loss), torch.optim.Adam(ours.parameters(), 0.01),
        PrepareViews([policy], seed=3),
    ).run()  # fmt: skip
    views = PrepareViews([policy], seed=3)

    def prepare(batch, device, non_blocking, **kwargs):
        (view,), *_ = views(batch, device, non_blocking, **kwargs)
        return view["image"], view["label"].long()

    SupervisedTrainer(
        torch.device("cpu"), 1, batches(), monais, torch.optim.Adam(monais.parameters(), 0.01), loss,
        prepare_batch=prepare, decollate=False,
    ).run()  # fmt: skip
    for name, value in ours.state_dict().items():
        assert torch.equal(value, monais.state_dict()[name]), name


def test_the_predictor_is_the_stock_network():
    net = network()
    method = Supervised(net, DiceCELoss())
    assert method.predictor is net and method.views == 1
    assert all(name in net.state_dict() for name in method.predictor.state_dict())


def test_a_tag_can_be_the_target():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 3))
    method = Supervised(net, torch.nn.CrossEntropyLoss(), target="class")
    views, tags, *_ = PrepareViews([identity_policy()])(batches()[0])
    expected = torch.nn.functional.cross_entropy(net(views[0]["image"]), tags["class"])
    assert torch.equal(method(views, tags)["loss"], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_labels_between_classes_are_refused(dtype):
    method = Supervised(network(), DiceCELoss(to_onehot_y=True, softmax=True))
    view = batches()[0]
    label = view["label"].to(dtype)
    assert torch.equal(method.target_of({"label": label}, {}), view["label"].long())
    with pytest.raises(ValueError, match=r"label: expected class numbers, found \d?.?5 at .* voxel.*RandPolicyd"):
        method([{"image": view["image"], "label": label / 2}], {})


def test_labels_that_a_view_policy_of_monai_interpolated_are_refused():
    item = {"image": torch.rand(1, 32, 32), "label": torch.randint(3, (1, 32, 32))}
    found = RandPolicyd(["image", "label"], ViewPolicy([Rotation(30.0)])).set_random_state(0)(item)
    with pytest.raises(ValueError, match="label: expected class numbers"):
        Supervised(network(), DiceCELoss()).target_of({"label": found["label"][None]}, {})


def test_a_batch_without_its_target_is_named():
    views, tags, *_ = PrepareViews([identity_policy()])({"image": torch.rand(2, 1, 32, 32), "volume": torch.arange(2)})
    with pytest.raises(KeyError, match=r"needs 'label' in the batch, found \['image', 'volume'\]"):
        Supervised(network(), DiceCELoss())(views, tags)


def test_metatensors_give_a_plain_loss():
    batch = {name: MetaTensor(value) for name, value in batches()[0].items()}
    views, tags, *_ = PrepareViews([identity_policy()])(batch)
    found = Supervised(network(), DiceCELoss(to_onehot_y=True, softmax=True))(views, tags)["loss"]
    assert type(found) is torch.Tensor


@pytest.mark.parametrize("named", [("tags",), ("views", "tags")])
def test_views_and_tags_may_be_given_by_name(named):
    """MetaTensors become plain tensors in either."""
    seen = {}

    class Seen(Supervised):
        def forward(self, views, tags):
            seen.update(tag=type(tags["class"]), image=type(views[0]["image"]))
            return super().forward(views, tags)

    batch = {name: MetaTensor(value) for name, value in batches()[0].items()}
    views = [{name: batch[name] for name in ("image", "label")}]
    given = {"views": views, "tags": {"class": batch["class"]}}
    in_order = [value for name, value in given.items() if name not in named]
    method = Seen(network(), DiceCELoss(to_onehot_y=True, softmax=True))
    loss = method(*in_order, **{name: given[name] for name in named})
    assert seen == {"tag": torch.Tensor, "image": torch.Tensor} and type(loss["loss"]) is torch.Tensor
    with pytest.raises(ValueError, match=r"Seen takes 1 view\(s\) of an image, found 2"):
        method(views=views * 2, tags={})


def test_masks_in_double_precision_stay_so():
    method = Supervised(nn.Conv2d(1, 2, 1).double(), nn.BCEWithLogitsLoss())
    view = {"image": torch.rand(2, 1, 4, 4).double(), "label": torch.rand(2, 2, 4, 4).double()}
    assert method.target_of(view, {}).dtype == method([view], {})["loss"].dtype == torch.float64
    assert method.target_of({"label": torch.ones(2, 2, 4, 4, dtype=torch.uint8)}, {}).dtype == torch.float32


def test_it_learns_a_threshold():
    torch.manual_seed(0)
    net = network()
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(8, 1, 32, 32, generator=generator)
    batch = {"image": images, "label": (images > 0.5).byte()}
    method = Supervised(net, DiceCELoss(to_onehot_y=True, softmax=True))
    views = PrepareViews([identity_policy()])
    before = method(*views(batch)[:2])["loss"].item()
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    MethodTrainer(torch.device("cpu"), 1, [copy.copy(batch)] * 40, method, optimizer, views).run()
    assert method(*views(batch)[:2])["loss"].item() < 0.3 * before


def test_a_class_that_the_network_does_not_have_is_named():
    view = batches()[0]
    view["label"][0, 0, 0, 0] = 3
    with pytest.raises(ValueError, match=r"label must be classes from 0 to 2, found 3 at 1 voxel.*num_classes"):
        Supervised(network(), DiceCELoss(to_onehot_y=True, softmax=True))([view], {})
    net = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    with pytest.raises(ValueError, match=r"label must be classes from 0 to 2, found 4 at"):
        Supervised(net, nn.CrossEntropyLoss(), target="class")([{**view, "class": torch.full((4,), 4)}], {})


def test_other_errors_of_a_loss_stay_what_they_are():
    view = batches()[0]
    with pytest.raises(RuntimeError, match="target"):
        Supervised(network(), nn.CrossEntropyLoss())([view], {})
    net = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, 3))
    ignoring = nn.CrossEntropyLoss(torch.ones(2), ignore_index=255)  # a weight too few is the fault, not the 255
    with pytest.raises(RuntimeError, match="weight"):
        Supervised(net, ignoring, target="class")([{**view, "class": torch.full((4,), 255)}], {})


def test_mixup_names_a_class_beyond_num_classes():
    view = batches()[0]
    with pytest.raises(ValueError, match=r"label must be classes from 0 to 1, found 2 .*num_classes"):
        Mixup(network(), DiceCELoss(softmax=True), num_classes=2)([view], {})
