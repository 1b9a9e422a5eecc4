# SPDX-License-Identifier: Apache-2.0
"""DiRA: its loss, which network each term trains, that it learns, and that a resumed run goes on exactly."""

import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import BasicUNet, SegResNet
from stripes import neighbors_agree, seen_through, stripes
from torch.nn.functional import mse_loss

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.files import load_tensors
from monai_cl_ext.handlers import EpochSeed, Resume
from monai_cl_ext.methods import Adversary, DiRA, MoCo
from monai_cl_ext.networks import load_pretrained, patch_discriminator
from monai_cl_ext.networks.weight_notes import note_trained_blocks
from monai_cl_ext.transforms import (
    PrepareViews,
    ViewPolicy,
    distorted_policy,
    intensity_part,
    spatial_part,
    strong_policy,
)

PARTS = {"loss", "contrast", "restoration"}


def network(dims: int = 2) -> BasicUNet:
    return BasicUNet(dims, 1, 4, features=[8, 8, 16, 16, 32, 8], norm="batch")


def dira(adversary: bool = True, dims: int = 2, seed: int = 0, net: torch.nn.Module | None = None, **given) -> DiRA:
    torch.manual_seed(seed)
    contrast = MoCo(net or network(dims), queue_size=24, momentum=0.9, features=8)
    return DiRA(contrast, Adversary(patch_discriminator(1, dims, 4)) if adversary else None, **given)


def prepare(dims: int = 2, seed: int = 0) -> PrepareViews:
    policy = strong_policy(None, dims, (0.4, 1.0), color=False, limits=None)
    sizes = {"swaps": 4, "patch": 0.125}
    policies = [
        spatial_part(policy),
        distorted_policy(intensity_part(policy), **sizes),
        distorted_policy(policy, **sizes),
    ]
    return PrepareViews(policies, made_from=[None, 0, None], seed=seed)


def batch(rows: int = 4, dims: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    return {"image": torch.rand(rows, 1, *[32] * dims, generator=torch.Generator().manual_seed(seed))}


def views(rows: int = 4, dims: int = 2) -> list[dict[str, torch.Tensor]]:
    return prepare(dims)(batch(rows, dims))[0]


def test_the_loss_is_the_weighted_sum_of_the_papers_terms():
    method = dira(contrast_weight=0.5, restoration_weight=3.0, adversarial_weight=0.2).double()
    seen = [{"image": view["image"].double()} for view in views()]
    image, query, key = (view["image"] for view in seen)
    net, contrast = method.predictor, method.moco
    levels = [net.conv_0(query)]
    for down in (net.down_1, net.down_2, net.down_3, net.down_4):
        levels.append(down(levels[-1]))
    decoded = levels[-1]
    for up, skip in zip((net.upcat_4, net.upcat_3, net.upcat_2, net.upcat_1), levels[-2::-1], strict=True):
        decoded = up(decoded, skip)
    weight, bias = method.head.weight[:, :, 0, 0], method.head.bias
    restored = torch.einsum("oc,bchw->bohw", weight, decoded) + bias[:, None, None]
    q = contrast.projection_head(levels[-1].mean(dim=(2, 3)))
    k, queue = contrast.teacher(key), contrast.queue.rows.clone()
    similar = torch.nn.functional.cosine_similarity
    contrasted = 0.0
    for row in range(len(q)):
        positive = similar(q[row], k[row], dim=0) / 0.2
        negatives = [similar(q[row], each, dim=0) / 0.2 for each in queue]
        contrasted -= (positive - torch.logsumexp(torch.stack([positive, *negatives]), dim=0)).item() / len(q)
    verdicts = [method.adversary.discriminator(each) for each in (image, restored)]
    expected = {
        "contrast": contrasted,
        "restoration": ((restored - image) ** 2).mean().item(),
        "adversarial": ((verdicts[1] - 1) ** 2).mean().item(),
        "discriminator": (((verdicts[0] - 1) ** 2).mean() + (verdicts[1] ** 2).mean()).item() / 2,
    }
    expected["loss"] = 0.5 * contrasted + 3 * expected["restoration"] + 0.2 * expected["adversarial"]
    found = {name: value.item() for name, value in method(seen, {}).items()}
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_first_stage_has_no_adversary():
    method = dira(adversary=False)
    losses = method(views(), {})
    assert set(losses) == PARTS and method.optimizers == {}
    assert losses["loss"].item() == pytest.approx((losses["contrast"] + 10 * losses["restoration"]).item())
    assert set(dira()(views(), {})) == PARTS | {"adversarial", "discriminator"}


@pytest.mark.parametrize("make, own", [(network, "final_conv"), (lambda: SegResNet(2, 8, 1, 4), "conv_final")])
def test_encoder_decoder_and_heads_are_trained_and_nothing_else(make, own):
    method = dira(net=make())
    losses = method(views(), {})
    losses["loss"].backward()
    trained = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    net = {f"moco.stages.network.{name}" for name, _ in method.predictor.named_parameters()}
    left = {name for name in net if name.startswith(f"moco.stages.network.{own}")}
    heads = {name for name, _ in method.named_parameters() if name.startswith(("head.", "moco.projection_head."))}
    assert trained == (net - left) | heads and left and heads
    assert all(parameter.requires_grad == (name in trained) for name, parameter in method.named_parameters())
    assert not losses["discriminator"].requires_grad


def test_each_term_trains_what_it_should():
    for name, decoder, head in (("contrast", False, True), ("restoration", True, False), ("adversarial", True, False)):
        method = dira()
        method(views(), {})[name].backward()
        got = {each for each, parameter in method.named_parameters() if parameter.grad is not None}
        assert any("upcat" in each for each in got) == decoder, name
        assert any("projection_head" in each for each in got) == head, name
        assert any("down_4" in each for each in got) and not any("adversary" in each for each in got)


def test_a_step_moves_the_discriminator_the_teacher_and_the_queue():
    method = dira()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.1)
    method(views(), {})["loss"].backward()
    optimizer.step()
    method.after_step()
    after = method.state_dict()
    for part in ("adversary.discriminator", "moco.teacher.network.0.network.conv_0", "moco.queue.rows"):
        assert any(not torch.equal(after[name], before[name]) for name in after if name.startswith(part)), part


def test_the_contrast_is_told_once_of_every_step():
    method = dira()
    told, own = [], torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], 0.1)

    class Told(MoCo):
        optimizers = {"own": own}

        def after_step(self):
            told.append(self.iteration)

    method.moco.__class__ = Told
    method.iteration = 5
    method.after_step()
    assert told == [5] and method.optimizers == {"moco.own": own, "discriminator": method.adversary.optimizer}


def test_three_dimensions():
    method = dira(dims=3)
    seen = views(2, 3)
    assert all(loss.isfinite() for loss in method(seen, {}).values())
    assert method.embed(seen[0]["image"]).shape == (2, 32)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"DiRA takes 3 view\(s\) of an image, found 2"):
        dira()(views()[:2], {})
    with pytest.raises(ValueError, match=r"has the shape \(4, 2, 32, 32\), the image \(4, 1, 32, 32\)"):
        dira(channels=2)(views(), {})
    with pytest.raises(ValueError, match="channels must be an integer of at least 1, found 0"):
        dira(channels=0)
    with pytest.raises(ValueError, match="adversarial_weight must be"):
        dira(adversarial_weight=-1.0)


def test_its_weights_start_an_encoder_and_a_decoder(tmp_path):
    method = dira()
    state = method.predictor.state_dict()
    note_trained_blocks(state, len(method.moco.stages.block_prefixes))
    torch.save(state, tmp_path / "model.pt")
    net = network()
    load_pretrained(net, tmp_path / "model.pt", part="encoder", blocks=None)
    unlike = {name for name, value in net.state_dict().items() if not torch.equal(value, state[name])}
    assert {name.split(".")[0] for name in unlike} == {"final_conv"}


# in the engine


class Stopped(Exception):
    """What breaks a run off."""


def stop(engine):
    raise Stopped


def run(folder, resume: bool = False, stop_at: int | None = None, accumulation: int = 1) -> DiRA:
    """Three epochs of four batches; ``stop_at`` breaks off as an epoch begins."""
    method, views_of = dira(seed=3), prepare()
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.03, 0.9)
    state = {"method": method, "optimizer": optimizer}
    handlers = [EpochSeed(0, [views_of, method]), Resume(state, str(folder), resume, settings={"method": method})]
    engine = MethodTrainer(
        torch.device("cpu"), 3, [batch(seed=seed) for seed in range(4)], method, optimizer, views_of,
        accumulation_steps=accumulation, maximum_gradient_norm=1.0, train_handlers=handlers,
    )  # fmt: skip
    if stop_at:
        engine.add_event_handler(Events.EPOCH_STARTED(once=stop_at), stop)
    engine.run()
    return method


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop_at=3)
    resumed = run(tmp_path / "parts", resume=True)
    states = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    left = [load_tensors(tmp_path / part / "resume_checkpoint_3.pt")["method_discriminator"]["state"]
            for part in ("whole", "parts")]  # fmt: skip
    assert len(left[0]) == len(left[1]) == len(list(whole.adversary.parameters()))
    for index, moments in left[0].items():
        assert int(moments["step"]) == 12
        assert all(torch.equal(value, left[1][index][name]) for name, value in moments.items())


def test_a_discriminator_of_other_settings_is_not_resumed(tmp_path):
    run(tmp_path)
    method = dira(seed=3)
    method.adversary = Adversary(patch_discriminator(width=4), lambda given: torch.optim.Adam(given, 1e-3))
    optimizer = torch.optim.SGD([each for each in method.parameters() if each.requires_grad], 0.03, 0.9)
    resume = Resume({"method": method, "optimizer": optimizer}, str(tmp_path), True, settings={"method": method})
    with pytest.raises(ValueError, match="saved by a run with other settings: method"):
        MethodTrainer(torch.device("cpu"), 2, [batch()], method, optimizer, prepare(), train_handlers=[resume])


def test_the_discriminator_moves_once_a_real_step(tmp_path):
    state = run(tmp_path, accumulation=2).adversary.optimizer.state
    assert {int(each["step"]) for each in state.values()} == {6}


# learning


class Untaught(DiRA):
    """Restores another image, and contrasts with the key of another image."""

    def forward(self, views, tags):
        image, query, key = views
        other = [{"image": view["image"].roll(1, dims=0)} for view in (image, key)]
        return super().forward([other[0], query, other[1]], tags)


def crops(count: int, generator: torch.Generator) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor]:
    """Two crops of each image of stripes, the first also as it was before its distortion, and the kinds of stripes."""
    image, label = stripes(count, generator)
    one, other = (seen_through(image, 24, generator) for _ in range(2))
    distort = distorted_policy(ViewPolicy([]), swaps=4, patch=0.125)
    return [{"image": one}, distort({"image": one}, generator), distort({"image": other}, generator)], label


def trained(kind: type[DiRA], adversary: bool, steps: int = 200) -> dict[str, float]:
    """On unseen images: squared error over that of the distorted copy, and how well neighbors agree in their kind."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    contrast = MoCo(network(), queue_size=256, momentum=0.95)
    method = kind(contrast, Adversary(patch_discriminator(width=8)) if adversary else None)
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], lr=4e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        method(crops(32, generator)[0], {})["loss"].backward()
        optimizer.step()
        method.after_step()
    method.eval()
    seen, label = crops(200, generator)
    with torch.no_grad():
        error = DiRA.forward(method, seen, {})["restoration"] / mse_loss(seen[1]["image"], seen[0]["image"])
        return {"error": error.item(), "agreement": neighbors_agree(method.embed(seen[0]["image"]), label)}


@pytest.mark.slow
@pytest.mark.parametrize("adversary", [False, True], ids=["dir", "dira"])
def test_it_restores_unseen_images_and_tells_what_their_crops_share(adversary):
    learned, broken = (trained(kind, adversary) for kind in (DiRA, Untaught))
    assert learned["error"] < 0.75 < 1.1 < broken["error"], (learned, broken)
    assert learned["agreement"] > 0.95 > 0.8 > broken["agreement"], (learned, broken)
