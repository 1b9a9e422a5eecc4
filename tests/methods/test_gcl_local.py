# SPDX-License-Identifier: Apache-2.0
"""GCL's local stage: what it computes, what it trains, what batch normalization does, and that it learns."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from monai_cl_ext.data import PartitionBatchSampler, SliceDataset, find_cases, volume_transform, write_phantom
from monai_cl_ext.losses import LocalContrastiveLoss
from monai_cl_ext.methods import GCLLocal
from monai_cl_ext.networks import GCLUNet
from monai_cl_ext.transforms import PrepareViews, gcl_intensity_policy

ENCODER = ("conv_0", "down_")
BLOCKS = ("upcat_4", "upcat_3", "upcat_2", "upcat_1")


def network() -> BasicUNet:
    return BasicUNet(2, 1, 4, features=[8, 8, 16, 16, 32, 8], norm="batch")


def batch(rows: int = 8, size: int = 32) -> dict[str, torch.Tensor]:
    return {
        "image": torch.rand(rows, 1, size, size, generator=torch.Generator().manual_seed(0)),
        "partition": torch.arange(rows) % 4,
        "volume": torch.arange(rows) // 4,
    }


def views_of(data: dict[str, torch.Tensor]) -> tuple:
    views, tags, *_ = PrepareViews([gcl_intensity_policy()] * 2)(data)
    return views, tags


@pytest.mark.parametrize("strategy", ["lr", "ld"])
@pytest.mark.parametrize("features", [5, None])
def test_the_loss_is_that_of_the_projected_decoder_maps(strategy, features):
    net = network()
    method = GCLLocal(net, strategy, blocks=2, region_size=2, regions=9, temperature=0.2, features=features)
    views, tags = views_of(batch())
    found = {}
    net.upcat_3.register_forward_hook(lambda module, inputs, output: found.update(map=output))
    net(torch.cat([view["image"] for view in views]))
    f1, f2 = method.head(found["map"]).chunk(2)
    loss = LocalContrastiveLoss(strategy, 2, 9, "all", 0.2, method.loss.projection)
    expected = loss(f1, f2, tags["partition"], tags["volume"])
    assert method(views, tags)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert (method.loss.projection is None) == (features is None)


def test_the_released_layout_is_taken_without_being_asked_for():
    for dims, regions in ((2, 13), (3, 35)):
        method = GCLLocal(BasicUNet(dims, 1, 2, features=[4, 4, 4, 4, 8, 4]), region_size=1)
        assert method.loss.regions == regions


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_first_blocks_and_the_heads_are_trained_and_all_else_is_frozen(blocks):
    net = network()
    method = GCLLocal(net, blocks=blocks, region_size=1, regions=9)
    method(*views_of(batch(size=64)))["loss"].backward()
    trained = {name for name, parameter in net.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in net.named_parameters() if name.startswith(BLOCKS[:blocks])}
    assert all(parameter.requires_grad == (name in trained) for name, parameter in net.named_parameters())
    heads = [*method.head.parameters(), *method.loss.parameters()]
    assert len(heads) == 5 and all(parameter.grad.abs().max() > 0 for parameter in heads)


@pytest.mark.parametrize("batch_norm", ["train", "eval"])
def test_what_a_step_changes(batch_norm):
    """As released, the encoder's running statistics move though its weights do not; with "eval" they stay."""
    net = network()
    method = GCLLocal(net, batch_norm=batch_norm)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.Adam([parameter for parameter in method.parameters() if parameter.requires_grad], lr=0.01)
    method.eval().train()(*views_of(batch()))["loss"].backward()
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    statistics = {name for name in before if name.startswith(ENCODER) and "running" in name}
    assert len(statistics) == 20
    assert {name for name in changed if name.startswith(ENCODER) and "num_batches" not in name} == (
        statistics if batch_norm == "train" else set()
    )
    assert {name.split(".")[0] for name in changed if not name.startswith(ENCODER)} == set(BLOCKS[:3])


@pytest.mark.parametrize("batch_norm", ["train", "eval"])
def test_modes_of_the_encoder(batch_norm):
    method = GCLLocal(network(), batch_norm=batch_norm)
    norms = [layer for layer in method.stages.network.down_2.modules() if isinstance(layer, _BatchNorm)]
    assert len(norms) == 2
    for again in (method, method.eval().train()):
        assert all(layer.training == (batch_norm == "train") for layer in norms)
        assert again.stages.network.upcat_4.training and again.head.training
    method.eval()
    assert not any(module.training for module in method.modules())


def test_the_papers_widths():
    method = GCLLocal(GCLUNet())
    assert method.head[0].in_channels == method.head[3].out_channels == 64
    assert method.loss.projection.weight.shape == (128, 576)
    maps = method.stages.decode(method.stages.encode(torch.zeros(1, 1, 192, 192)), 3)
    assert maps.shape == (1, 64, 48, 48)


def test_three_dimensions_with_given_corners():
    net = BasicUNet(3, 1, 2, features=[4, 4, 4, 4, 4, 4])
    method = GCLLocal(net, "ld", blocks=2, region_size=2, regions=[(0, 0, 0), (0, 4, 2), (6, 6, 2)])
    views = [{"image": torch.rand(2, 1, 32, 32, 16)} for _ in range(2)]
    loss = method(views, {"partition": torch.tensor([0, 0]), "volume": torch.tensor([0, 1])})["loss"]
    loss.backward()
    assert torch.isfinite(loss) and method.embed(views[0]["image"]).shape == (2, 4)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="blocks must be from 1 to 4 for BasicUNet, found 5"):
        GCLLocal(network(), blocks=5)
    with pytest.raises(ValueError, match="blocks must be an integer of at least 1, found 0"):
        GCLLocal(network(), blocks=0)
    with pytest.raises(ValueError, match="batch_norm must be one of 'train', 'eval'"):
        GCLLocal(network(), batch_norm="frozen")
    views, tags = views_of(batch())
    with pytest.raises(ValueError, match=r"GCLLocal takes 2 view\(s\) of an image, found 3"):
        GCLLocal(network())([*views, views[0]], tags)
    with pytest.raises(ValueError, match=r"a map of \(4, 4\) is too small"):
        GCLLocal(network(), blocks=1)(*views_of(batch()))
    with pytest.raises(ValueError, match="needs the partition"):
        GCLLocal(network(), "ld")(views, {})


@pytest.mark.gpu
@pytest.mark.parametrize("strategy, negatives", [("lr", "all"), ("lr", "released"), ("ld", "all")])
def test_the_loss_on_the_gpu_is_that_on_the_cpu(strategy, negatives):
    method = GCLLocal(network(), strategy, negatives=negatives)
    results = []
    for device in ("cpu", "cuda"):
        views, tags, *_ = PrepareViews([gcl_intensity_policy()] * 2, seed=3)(batch(), device)
        method.to(device).zero_grad()
        loss = method(views, tags)["loss"]
        loss.backward()
        results.append((loss.item(), method.loss.projection.weight.grad.cpu()))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-3)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-2, atol=1e-3)


class Shuffled(LocalContrastiveLoss):
    """The regions of the second view in a random order: what no network can answer."""

    def _vectors(self, maps):
        first, second = super()._vectors(maps).chunk(2)
        return torch.cat([first, second[:, torch.randperm(second.shape[1])]])


def losses_before_and_after(strategy: str, folder, shuffled: bool) -> tuple[float, float]:
    """The loss on volumes that training does not see, in training mode as the loss itself."""
    cases = find_cases(folder)
    transform = volume_transform(image_size=(32, 32), pixdim=(5.0, 5.0))
    seen, unseen = (SliceDataset(part, transform, progress=False) for part in (cases[:6], cases[6:]))
    torch.manual_seed(0)
    method = GCLLocal(network(), strategy)
    if shuffled:
        method.loss = Shuffled(strategy, 3, projection=method.loss.projection)
    views = PrepareViews([gcl_intensity_policy()] * 2)
    optimizer = torch.optim.Adam([parameter for parameter in method.parameters() if parameter.requires_grad], lr=1e-3)

    def held_out() -> float:
        sampler = PartitionBatchSampler(unseen.volume, unseen.partition, 2, batches_per_epoch=4, seed=1)
        with torch.no_grad():
            losses = [method(*views(part)[:2])["loss"] for part in DataLoader(unseen, batch_sampler=sampler)]
        return torch.stack(losses).mean().item()

    before = held_out()
    sampler = PartitionBatchSampler(seen.volume, seen.partition, 3, batches_per_epoch=60)
    for part in DataLoader(seen, batch_sampler=sampler):
        optimizer.zero_grad()
        method(*views(part)[:2])["loss"].backward()
        optimizer.step()
    return before, held_out()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lr", "ld"])
def test_pretraining_tells_regions_apart_on_unseen_volumes(strategy, tmp_path):
    """Chance is log(1 + 2 * 12) = 3.2."""
    write_phantom(tmp_path / "phantom", patients=8, seed=0)
    before, after = losses_before_and_after(strategy, tmp_path / "phantom", shuffled=False)
    _, broken = losses_before_and_after(strategy, tmp_path / "phantom", shuffled=True)
    assert before > 1 and broken > 2.5 and after < 0.3
