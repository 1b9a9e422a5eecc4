# SPDX-License-Identifier: Apache-2.0
"""SuperCL: what it computes, its ablations, and that it learns what superpixels tell."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch.nn.functional import interpolate

from monai_cl_ext.losses import PositionContrastiveLoss, SuperpixelContrastiveLoss, SuperpixelGraphContrastiveLoss
from monai_cl_ext.methods import PCL, WCL, SuperCL, supercl

TAGS = {
    "volume": torch.tensor([0, 0, 1]),
    "position": torch.tensor([0.2, 0.9, 0.25], dtype=torch.float64),
    "partition": torch.tensor([0, 3, 1]),
}


def network(dims: int = 2) -> BasicUNet:
    return BasicUNet(dims, 1, 4, features=[8, 8, 16, 16, 32, 8], norm="batch")


def views(dims: int = 2, size: int = 32) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shape = (3, 1, *[size] * dims)
    return [
        {
            "image": torch.rand(shape, generator=generator),
            "superpixel": torch.randint(5, shape, generator=generator, dtype=torch.int32),
        }
        for _ in range(4)
    ]


def test_the_loss_is_the_weighted_sum_of_equation_4():
    method = SuperCL(PCL(network(), threshold=0.1, features=8), 0.7, 0.3, level=2, stride=2, temperature=0.2)
    seen = views()
    features = method.instance.stages.encode(torch.cat([view["image"] for view in seen]))
    z3, z4 = method.instance.head(features[-1].mean(dim=(2, 3)))[6:].chunk(2)
    map1, map2 = features[2][:6].chunk(2)
    assert map1.shape[2:] == (8, 8)
    at = [view["superpixel"][:, 0, ::4, ::4].long() for view in seen[:2]]  # nearest is the first of each four pixels
    expected = {
        "instance": PositionContrastiveLoss(0.1)(z3, z4, TAGS["position"]).item(),
        "intra": SuperpixelContrastiveLoss(0.2, stride=2)(map1, map2, at[0]).item(),
        "inter": SuperpixelGraphContrastiveLoss(0.2)(z3, z4, map1, map2, *at).item(),
    }
    expected["loss"] = expected["instance"] + 0.7 * expected["intra"] + 0.3 * expected["inter"]
    found = {name: value.item() for name, value in method(seen, TAGS).items()}
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("intra, inter, parts", [(1, 0, {"intra"}), (0, 0.5, {"inter"}), (0, 0, set())])
@pytest.mark.parametrize("kind", [PCL, WCL])
def test_a_weight_of_zero_leaves_a_part_out(kind, intra, inter, parts):
    method = SuperCL(kind(network(), features=8), intra, inter)
    found = method(views(), TAGS)
    assert set(found) == {"loss", "instance", *parts}
    found["loss"].backward()
    assert method.instance.stages.network.conv_0.conv_0.conv.weight.grad.abs().sum() > 0


def test_without_guidance_the_first_views_are_not_looked_at():
    method = SuperCL(PCL(network(), features=8), 0, 0).eval()
    seen = views()
    expected = method(seen, TAGS)["loss"]
    blank = [{"image": torch.zeros_like(view["image"])} for view in seen[:2]]
    assert torch.equal(method([*blank, *seen[2:]], TAGS)["loss"], expected)
    plain = method.instance(seen[2:], TAGS)["loss"]
    assert plain.item() == pytest.approx(expected.item(), rel=1e-6)


def test_wcl_is_guided_through_the_head_of_its_graph():
    method = SuperCL(WCL(network(), features=8), 0, 1.0)
    loss = method(views(), TAGS)["inter"]
    loss.backward()
    assert method.instance.graph_head[-1].weight.grad is not None and method.instance.head[-1].weight.grad is None


def test_pairs_are_those_of_the_instance_contrast_between_the_spatial_views():
    method = SuperCL(PCL(network(), threshold=0.1, features=8))
    positive, negative = method.pairs(views(), TAGS)
    inner = method.instance.pairs(views()[2:], TAGS)
    for found, expected in zip((positive, negative), inner, strict=True):
        assert found.shape == (12, 12) and torch.equal(found[6:, 6:], expected)
        assert not found[:6].any() and not found[:, :6].any()


def test_its_instance_contrast_is_told_of_steps_and_epochs():
    told = []

    class Told(PCL):
        def set_epoch(self, epoch):
            told.append(epoch)

        def after_step(self):
            told.append(self.iteration)

    method = SuperCL(Told(network()))
    method.iteration = 7
    method.set_epoch(3)
    method.after_step()
    assert told == [3, 7] and method.optimizers == {}


def test_superpixels_of_a_view_are_resized_once(monkeypatch):
    resized = []

    def noted(superpixels, *given, **named):
        resized.append(superpixels)
        return interpolate(superpixels, *given, **named)

    monkeypatch.setattr(supercl, "interpolate", noted)
    SuperCL(PCL(network()))(views(), TAGS)
    assert len(resized) == 2


def test_three_dimensions():
    method = SuperCL(PCL(network(3), features=4), level=-2)
    assert torch.isfinite(method(views(3, 16), TAGS)["loss"])
    assert method.embed(views(3, 16)[0]["image"]).shape == (3, 32)


def test_a_batch_of_one_image_has_no_negatives_in_training():
    method, tags = SuperCL(PCL(network(), features=8)), {name: tag[:1] for name, tag in TAGS.items()}
    single = [{name: value[:1] for name, value in view.items()} for view in views()]
    with pytest.raises(ValueError, match="SuperCL contrasts the images .* found one image: raise batch_size"):
        method(single, tags)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"SuperCL takes 4 view\(s\) of an image, found 2"):
        SuperCL(PCL(network()))(views()[:2], TAGS)
    with pytest.raises(ValueError, match=r"needs superpixels in views 1 and 2, which hold \['image'\]"):
        SuperCL(PCL(network()))([{"image": view["image"]} for view in views()], TAGS)
    with pytest.raises(ValueError, match="level must index the 5 maps"):
        SuperCL(PCL(network()), level=5)
    with pytest.raises(ValueError, match="found 1.5"):
        SuperCL(PCL(network()), level=1.5)


@pytest.mark.parametrize("value", [-1.0, float("nan"), "x"])
def test_weights_are_numbers_of_at_least_0(value):
    for name in ("intra_weight", "inter_weight"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0, found"):
            SuperCL(PCL(network()), **{name: value})
    with pytest.raises(ValueError, match="graph_weight must be a finite number of at least 0, found"):
        WCL(network(), graph_weight=value)


def textured_halves(count: int, generator: torch.Generator) -> list[dict[str, torch.Tensor]]:
    """Textured images whose left and right halves differ in texture alone, with the halves as superpixels."""
    fine, coarse = torch.rand(count, 1, 32, 32, generator=generator), torch.rand(count, 1, 8, 8, generator=generator)
    image = torch.where(torch.arange(32) < 16, fine, coarse.repeat_interleave(4, 2).repeat_interleave(4, 3))
    superpixel = (torch.arange(32) >= 16).int().expand(count, 1, 32, 32)
    noise = [0.1 * torch.rand(image.shape, generator=generator) for _ in range(4)]
    return [{"image": image + added, "superpixel": superpixel} for added in noise]


def separation(right: bool) -> float:
    """Mean cosine within superpixels less that between them, on images that training does not see."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    method = SuperCL(PCL(network(), features=8), inter_weight=0.0, level=2)
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    for _ in range(60):
        seen = textured_halves(4, generator)
        if not right:
            shuffled = seen[0]["superpixel"].flatten()[torch.randperm(4 * 32 * 32)].view(4, 1, 32, 32)
            seen = [{**view, "superpixel": shuffled} for view in seen]
        tags = {"position": torch.rand(4, dtype=torch.float64), "volume": torch.arange(4)}
        optimizer.zero_grad()
        method(seen, tags)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        features = method.eval().instance.stages.encode(textured_halves(8, generator)[0]["image"])[2]
    rows = torch.nn.functional.normalize(features.flatten(2), dim=1)
    cosines = rows.mT @ rows
    left = (torch.arange(64) % 8 < 4)[:, None] == (torch.arange(64) % 8 < 4)
    return (cosines[:, left].mean() - cosines[:, ~left].mean()).item()


def test_pretraining_tells_superpixels_apart():
    right, broken = separation(True), separation(False)
    assert right > 0.6 > 0.25 > broken
