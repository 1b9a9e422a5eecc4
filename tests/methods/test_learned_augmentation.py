# SPDX-License-Identifier: Apache-2.0
"""Learned augmentation: its losses by hand, what drives the generator, the mix of rows, resume, and what is learned."""

import copy
from functools import partial
from statistics import mean

import pytest
import torch
from ignite.engine import Events
from monai.losses import DiceCELoss
from monai.networks import one_hot
from torch import nn

from monai_cl_ext.engines import MethodTrainer
from monai_cl_ext.files import load_tensors
from monai_cl_ext.handlers import EpochSeed, Resume
from monai_cl_ext.methods import Adversary, AugmentedTraining, LearnedAugmentation, Mixup, Supervised
from monai_cl_ext.methods.random_cuts import random_cuts
from monai_cl_ext.networks import DeformationGenerator, IntensityGenerator, image_discriminator
from monai_cl_ext.transforms import PrepareViews, identity_policy

LOSS = DiceCELoss(softmax=True)
KINDS = pytest.mark.parametrize("kind", [DeformationGenerator, IntensityGenerator])


def network(seed=0, classes=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, classes, 1))


def made(kind=DeformationGenerator, dtype=torch.float32, classes=3, rate=1e-3, **given):
    torch.manual_seed(1)
    adversary = Adversary(image_discriminator(32).to(dtype), partial(torch.optim.Adam, lr=rate, betas=(0.9, 0.999)))
    method = LearnedAugmentation(network(classes=classes), LOSS, 4, kind(32), adversary, **given)
    return method.to(dtype).train()


def view(rows=8, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (rows, 1, 32, 32), generator=generator, dtype=torch.uint8)
    return {"image": torch.randn(rows, 1, 32, 32, generator=generator).to(dtype), "label": label}


def parts_by_hand(method, given, weight=0.7, reward=0.2):
    """The terms after the draws of a seed: kept rows first, then the noise."""
    torch.manual_seed(5)
    kept = int(torch.randint(4 * 5 // 20, 4 * 14 // 20 + 1, ()))
    noise = torch.randn(4, 100, dtype=given["image"].dtype)
    image, real = given["image"][:4], given["image"][4:]
    label = one_hot(given["label"][:4].long(), 3).to(image.dtype)
    field = method.generator(image, noise)
    fake = method.generator.changed(image, field)
    seen = torch.cat([image[:kept], fake[kept:]])
    target = torch.cat([label[:kept], method.generator.changed_label(label, field)[kept:]])
    supervised = LOSS(method.network(seen), target)
    verdict = method.adversary.discriminator(torch.cat([fake, real]))
    adversarial = -torch.sigmoid(verdict[:4]).log().mean()
    verdict = method.adversary.discriminator(torch.cat([fake.detach(), real]))
    discriminator = -torch.sigmoid(verdict[4:]).log().mean() - (1 - torch.sigmoid(verdict[:4])).log().mean()
    size = sum(value.abs().item() for value in field.flatten()) / field.numel()
    loss = supervised + weight * adversarial - reward * field.abs().mean()
    assert loss.item() == pytest.approx((supervised + weight * adversarial).item() - reward * size, rel=1e-9)
    return {"loss": loss, "supervised": supervised, "adversarial": adversarial, "discriminator": discriminator}


@KINDS
def test_the_losses_and_their_gradients_are_those_of_the_formulas(kind):
    method, given = made(kind, torch.float64, consistency_weight=0.7, reward=0.2), view(dtype=torch.float64)
    other = copy.deepcopy(method)
    expected = parts_by_hand(other, given)
    torch.manual_seed(5)
    found = method([given], {})
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9)
    for module in ("network", "generator"):
        gradients = [
            torch.autograd.grad(losses["loss"], list(getattr(of, module).parameters()), retain_graph=True)
            for losses, of in ((found, method), (expected, other))
        ]
        for one, wanted in zip(*gradients, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-6, atol=1e-9)


def test_the_field_is_told():
    found = made()([view()], {})
    assert {"displacement", "folded"} < set(found) and 0 <= found["folded"] <= 1
    assert "change" in made(IntensityGenerator)([view()], {})


@pytest.mark.parametrize("detached", [False, True])
@KINDS
def test_the_segmentation_drives_the_generator_unless_as_released(kind, detached):
    method = made(kind, consistency_weight=0.0, reward=0.0, released_detached=detached)
    method([view()], {})["loss"].backward()
    gradients = [parameter.grad for parameter in method.generator.parameters()]
    assert all(each is not None for each in gradients)
    assert any(each.abs().max() > 0 for each in gradients) != detached
    assert all(parameter.grad.abs().max() > 0 for parameter in method.network[0].parameters())


def test_as_released_the_network_sees_fields_of_evaluation_and_the_discriminator_what_is_changed_twice():
    method = made(dtype=torch.float64, released_detached=True)
    seen, judged = [], []
    method.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.adversary.discriminator.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[0]))
    other, given = copy.deepcopy(method.generator), view(dtype=torch.float64)
    torch.manual_seed(5)
    method([given], {})
    torch.manual_seed(5)
    kept, image = int(torch.randint(1, 3, ())), given["image"][:4]
    with torch.no_grad():
        field = other.eval()(image, torch.randn(4, 100, dtype=torch.float64))
    field[:kept] = 0
    half = other.changed(image, field)
    torch.testing.assert_close(seen[0], half)
    again = other.train()(half, torch.randn(4, 100, dtype=torch.float64))
    torch.testing.assert_close(judged[0][:4], other.changed(half, again))
    assert torch.equal(judged[0][4:], given["image"][4:])


def test_the_warm_up_trains_the_network_alone_on_images_as_they_are():
    method, given = made(warm_up_steps=3), view()
    before = copy.deepcopy(method.state_dict())
    losses = method([given], {})
    assert set(losses) == {"loss", "supervised"}
    label = one_hot(given["label"][:4].long(), 3).float()
    torch.testing.assert_close(losses["loss"], LOSS(copy.deepcopy(method.network)(given["image"][:4]), label))
    losses["loss"].backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in method.generator.parameters())  # for DDP
    method.after_step()
    for key, value in method.state_dict().items():
        assert key.startswith("network") or torch.equal(value, before[key]), key
    method.iteration = 3
    assert "adversarial" in method([given], {})


def test_cuts_are_the_papers_for_20_rows_and_scaled_for_others():
    ranges = ((1, 4), (5, 9), (10, 14))
    for rows, expected in ((20, ranges), (12, ((0, 2), (3, 5), (6, 8))), (2, ((0, 0), (0, 0), (1, 1)))):
        draws = [random_cuts(rows, ranges) for _ in range(300)]
        for found, (first, last) in zip(zip(*draws, strict=True), expected, strict=True):
            assert set(found) == set(range(first, last + 1))


class Record(nn.Module):
    """Stands for a network: keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)

    def forward(self, image):
        self.given = image
        return self.layer(image)


def test_the_last_stage_changes_the_papers_mix_of_rows():
    torch.manual_seed(0)
    generators = DeformationGenerator(32), IntensityGenerator(32)
    method = AugmentedTraining(Supervised(Record(), LOSS), *generators, 3).train()
    given = view(20)
    torch.manual_seed(5)
    losses = method([given], {})
    torch.manual_seed(5)
    deformed, shaded, both = (int(torch.randint(first, last + 1, ())) for first, last in ((1, 4), (5, 9), (10, 14)))
    noise = torch.randn(20, 100)
    deformation, intensity = (generator.eval() for generator in generators)
    with torch.no_grad():
        field = deformation(given["image"], noise)
        warped = deformation.changed(given["image"], field)
        change = intensity(given["image"], noise)
        expected = given["image"].clone()
        expected[:deformed] = warped[:deformed]
        expected[deformed:shaded] += change[deformed:shaded]
        expected[shaded:both] = (warped + intensity(warped, noise))[shaded:both]
        label = one_hot(given["label"].long(), 3).float()
        moved = deformation.changed_label(label, field)
        rows = [*range(deformed), *range(shaded, both)]
        label[rows] = moved[rows]
    torch.testing.assert_close(method.predictor.given, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(losses["loss"], LOSS(method.predictor.layer(expected), label), rtol=0, atol=1e-4)
    assert {"displacement", "folded", "change"} < set(losses)
    assert not any(p.requires_grad for generator in generators for p in generator.parameters())


def test_the_generators_stay_as_they_are():
    method = AugmentedTraining(Supervised(network(), LOSS), DeformationGenerator(32), IntensityGenerator(32), 3).train()
    before = copy.deepcopy(method.state_dict())
    method([view()], {})["loss"].backward()
    method.after_step()
    after = method.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in after if not key.startswith("supervised"))


def test_mixup_mixes_changed_rows_and_soft_labels():
    class Keep(nn.Module):
        def forward(self, logits, target):
            self.target = target
            return logits.mean()

    loss = Keep()
    method = AugmentedTraining(Mixup(Record(), loss, 3, 1.0), DeformationGenerator(32), IntensityGenerator(32), 3)
    given = view()
    method.set_epoch(1)
    method([given], {})
    assert loss.target.shape == (8, 3, 32, 32)
    torch.testing.assert_close(loss.target.sum(1), torch.ones(8, 32, 32), rtol=0, atol=1e-4)
    assert ((loss.target > 0.05) & (loss.target < 0.95)).any()
    plain = Mixup(Record(), Keep(), 3, 1.0)
    plain.set_epoch(1)
    plain([given], {})
    assert not torch.allclose(method.predictor.given, plain.network.given)


class Stopped(Exception):
    """What breaks a run off."""


def stop(engine):
    raise Stopped


def run(folder, resume=False, stop_at=None, accumulation=1):
    """Three epochs of four batches, with a warm-up of one; ``stop_at`` breaks off as an epoch begins."""
    method, prepare = made(warm_up_steps=1), PrepareViews([identity_policy()])
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], 1e-3)
    state = {"method": method, "optimizer": optimizer}
    handlers = [EpochSeed(0, [prepare, method]), Resume(state, str(folder), resume, settings={"method": method})]
    engine = MethodTrainer(
        torch.device("cpu"), 3, [view(seed=seed) for seed in range(4)], method, optimizer, prepare,
        accumulation_steps=accumulation, train_handlers=handlers,
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
        assert int(moments["step"]) == 11  # none in the warm-up
        assert all(torch.equal(value, left[1][index][name]) for name, value in moments.items())


def test_the_discriminator_moves_once_a_real_step(tmp_path):
    state = run(tmp_path, accumulation=2).adversary.optimizer.state
    assert {int(each["step"]) for each in state.values()} == {5}


@KINDS
def test_autocast_changes_little(kind):
    method, found = made(kind), []
    for enabled in (False, True):
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(method([view()], {}))
    for name, value in found[1].items():
        assert value.dtype == torch.float32 and value.item() == pytest.approx(found[0][name].item(), rel=0.05), name


def test_losses_of_class_indices_are_refused():
    hard = DiceCELoss(to_onehot_y=True, softmax=True)
    adversary = Adversary(image_discriminator(32), torch.optim.Adam)
    with pytest.raises(ValueError, match="DiceCELoss has to_onehot_y"):
        LearnedAugmentation(network(), hard, 4, DeformationGenerator(32), adversary)
    with pytest.raises(ValueError, match="DiceCELoss has to_onehot_y"):
        AugmentedTraining(Supervised(network(), hard), DeformationGenerator(32), IntensityGenerator(32), 3)


# learning


def squares(count, generator, brightness):
    """Images of one square on a ground of a brightness, with noise; its labels."""
    label = torch.zeros(count, 1, 32, 32, dtype=torch.long)
    for row, (y, x) in enumerate(torch.randint(4, 18, (count, 2), generator=generator).tolist()):
        label[row, 0, y : y + 10, x : x + 10] = 1
    return label + brightness + 0.05 * torch.randn(label.shape, generator=generator), label


def course(weight, seed, steps=90):
    """The losses of each step; labeled images are dark, unlabeled ones brighter by 0.6."""
    torch.manual_seed(seed)
    adversary = Adversary(image_discriminator(32), partial(torch.optim.Adam, lr=1e-3))
    method = LearnedAugmentation(network(seed, 2), LOSS, 4, IntensityGenerator(32), adversary, weight, 0.0).train()
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        (image, label), (other, _) = (squares(4, generator, brightness) for brightness in (0.0, 0.6))
        given = {"image": torch.cat([image, other]), "label": torch.cat([label, torch.full_like(label, 255)])}
        optimizer.zero_grad()
        losses = method([given], {})
        losses["loss"].backward()
        optimizer.step()
        schedule.step()
        method.after_step()
        yield {name: value.item() for name, value in losses.items()}


@pytest.mark.slow
def test_the_generator_deceives_the_discriminator_and_the_network_learns():
    """Both learn against each other; without its part of the loss the generator is seen through at once."""
    ends = {1.0: [], 0.0: []}
    for seed in (0, 1, 2):
        for weight, found in ends.items():
            losses = list(course(weight, seed))
            first, last = losses[0], losses[-30:]
            means = {name: sum(each[name] for each in last) / len(last) for name in first}
            found.append((means["adversarial"], means["supervised"] / first["supervised"]))
    (deceiving, learned), (seen_through, _) = (map(mean, zip(*found, strict=True)) for found in ends.values())
    assert deceiving < 0.7 * seen_through and learned < 0.8, ends
