# SPDX-License-Identifier: Apache-2.0
"""What each semi-supervised method learns from images without labels.

One or two labeled images lack what the others show: noise, specks as bright as the organ, other contrasts. The same
training without the loss of unlabeled rows, or with its sign turned, is what a method is held against. Where a better
segmentation is no sure thing on so small a problem, what the consistency itself asks for is measured on held-out
images.
"""

import copy
from functools import partial
from statistics import median

import pytest
import torch
from monai.networks.nets import SegResNet, UNet
from semi_supervised_cases import MASKED, SUPERVISED, evaluator
from torch import nn
from torch.nn.functional import max_pool2d

from monai_cl_ext.engines import ramp_up_value
from monai_cl_ext.methods import (
    BCP,
    DAN,
    DTC,
    UAMT,
    URPC,
    CauSSL,
    CrossPseudoSupervision,
    EMASelfTraining,
    MCNet,
    MeanTeacher,
    RandomBoxes,
    SASSNet,
    UniMatch,
)
from monai_cl_ext.methods.caussl import filters
from monai_cl_ext.transforms import keep_largest_components, signed_distance

SIZE, LABELLED, UNLABELLED = 20, 2, 32


def discs(count, seed, noise=0.05, specks=0):
    """Images of one bright disc on a dark ground, with noise and with ``specks`` of nine bright pixels; its labels."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(SIZE)
    center, radius = (torch.rand(count, shape, 1, 1, generator=generator) for shape in (2, 1))
    center = 6 + center * (SIZE - 13)
    distance = ((at[:, None] - center[:, :1]) ** 2 + (at[None, :] - center[:, 1:]) ** 2).sqrt()
    label = (distance < 3 + 2 * radius).long()
    place = torch.rand(count, SIZE * SIZE, generator=generator).argsort(1) < specks
    bright = max_pool2d(place.view(label.shape).float(), 3, 1, 1).maximum(label)
    return bright + noise * torch.randn(label.shape, generator=generator), label


def convolutions(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 2, 3, padding=1))


def noisy(image, generator, noise=0.6):
    return image + noise * torch.randn(image.shape, generator=generator)


def train(method, labelled, unlabelled, steps, seed=0, falling=False):
    """Steps of Adam on two labeled and two unlabeled images each, in random quarter turns.

    With ``falling`` the learning rate follows a cosine down to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam([each for each in method.parameters() if each.requires_grad], 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    method.set_epoch(1)
    method.train()
    for _ in range(steps):
        chosen = torch.randint(UNLABELLED, (2,), generator=generator)
        turns = int(torch.randint(4, (), generator=generator))
        image = torch.cat([labelled[0], unlabelled[0][chosen]]).rot90(turns, (2, 3))
        label = torch.cat([labelled[1], torch.full_like(labelled[1], 255)]).rot90(turns, (2, 3))
        strong = [noisy(image, generator) for _ in range(method.views - 1)]
        loss = method([{"image": each, "label": label} for each in (image, *strong)], {})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if falling:
            schedule.step()
        method.after_step()
        method.iteration += 1
    return method


@torch.no_grad()
def dice(network, images, labels):
    found = network(images).argmax(1, keepdim=True)
    return (2 * (found * labels).sum() / (found.sum() + labels.sum())).item()


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("name", ["EMASelfTraining", "BCP"])
def test_pseudo_labels_teach_that_specks_are_no_organ(name):
    """Labeled images show no specks; the refined pseudo-labels leave them out.

    Held against the end of the warm-up and against a second stage of labels alone, which go on taking specks for organ.
    """
    kind, loss = {"EMASelfTraining": (EMASelfTraining, SUPERVISED), "BCP": (BCP, MASKED)}[name]
    refine = partial(keep_largest_components, num_classes=2)
    start, without, learned = [], [], []
    for seed in (0, 1):
        labelled, (unlabelled, held_out) = (
            discs(2, 100 + seed),
            (discs(32, start + seed, specks=5) for start in (200, 300)),
        )
        first = train(kind(convolutions(seed), loss, 2, 60, 1.0, 0.9, refine), labelled, unlabelled, 60, seed)
        start.append(dice(first.network, *held_out))
        for weight, scores in ((0.0, without), (1.0, learned)):
            second = copy.deepcopy(first)
            second.consistency_weight, second.iteration = weight, 60
            scores.append(dice(train(second, labelled, unlabelled, 200, seed).network, *held_out))
    assert 0.5 < mean(start) < 0.8
    assert mean(learned) > mean(start) + 0.08
    assert mean(learned) > mean(without) + 0.06


@pytest.mark.parametrize("strong_views, feature_dropout", [(1, 0.0), (2, 0.5)], ids=["FixMatch", "UniMatch"])
def test_weak_to_strong_consistency_withstands_strong_noise(strong_views, feature_dropout):
    """Images as noisy as the strong views, which had no labels."""
    scores = {0.0: [], 1.0: []}
    for seed in (0, 1):
        labelled, unlabelled, (clean, label) = (
            discs(count, start + seed) for count, start in ((2, 100), (32, 200), (32, 300))
        )
        held_out = noisy(clean, torch.Generator().manual_seed(1)), label
        for weight in scores:
            torch.manual_seed(seed)
            network = UNet(2, 1, 2, (8, 16), (2,), norm="instance")
            boxes = RandomBoxes(0.15, 0.75, probability=0.5)
            method = UniMatch(network, SUPERVISED, 2, 0, weight, 0.0, 0.8, feature_dropout, boxes)
            scores[weight].append(dice(train(method, labelled, unlabelled, 120, seed).network, *held_out))
    assert mean(scores[1.0]) > mean(scores[0.0]) + 0.07


def after_supervised_steps(method, labelled, unlabelled, seed, weights, falling=False):
    """For each weight of the consistency the method after 50 steps without it and 150 with it."""
    started = train(method, labelled, unlabelled, 50, seed)
    for weight in weights:
        made = copy.deepcopy(started)
        made.consistency_weight, made.iteration = weight, 50
        yield train(made, labelled, unlabelled, 150, seed, falling)


TEACHERS = {
    "MeanTeacher": lambda network: MeanTeacher(network, SUPERVISED, 2, 0.0, noise=0.3),
    "UAMT": lambda network: UAMT(network, SUPERVISED, 2, 200, 0.0, noise=0.3),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_mean_teacher_makes_the_student_withstand_noise(name):
    """What it asks for: predictions that noise moves less. Nothing is said of a better Dice, but it must not be paid.

    A constant prediction would be steady as well, which the Dice rules out, and so does a consistency of turned sign.
    """
    seeds, steady, scores = (0, 3), {0.0: [], 3.0: [], -3.0: []}, {0.0: [], 3.0: [], -3.0: []}
    for seed in seeds:
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        method = TEACHERS[name](convolutions(seed))
        for weight, made in zip(
            steady, after_supervised_steps(method, labelled, unlabelled, seed, steady), strict=True
        ):
            steady[weight].append(moved_by_noise(made.network, held_out[0]))
            scores[weight].append(dice(made.network, *held_out))
    assert mean(steady[3.0]) < 0.6 * mean(steady[0.0])
    assert mean(scores[3.0]) > mean(scores[0.0]) - 0.03
    assert mean(steady[-3.0]) > mean(steady[3.0]) or mean(scores[-3.0]) < mean(scores[3.0]) - 0.2


@torch.no_grad()
def moved_by_noise(network, images):
    """Mean squared difference of the probabilities under two draws of noise."""
    generator = torch.Generator().manual_seed(0)
    one, other = (network(noisy(images, generator, 0.3)).softmax(1) for _ in range(2))
    return (one - other).square().mean().item()


def test_cross_pseudo_supervision_brings_two_networks_together():
    """They agree more on held-out images, and the worse of the two gets better."""
    apart, worse = {0.0: [], 0.3: []}, {0.0: [], 0.3: []}
    for seed in (0, 3):
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        method = CrossPseudoSupervision(convolutions(seed), convolutions(seed + 50), SUPERVISED, 2, 0.0)
        for weight, made in zip(apart, after_supervised_steps(method, labelled, unlabelled, seed, apart), strict=True):
            with torch.no_grad():
                first, second = (network(held_out[0]).argmax(1) for network in (made.network, made.second))
            apart[weight].append((first != second).double().mean().item())
            worse[weight].append(min(dice(network, *held_out) for network in (made.network, made.second)))
    assert mean(apart[0.3]) < 0.5 * mean(apart[0.0])
    assert mean(worse[0.3]) > mean(worse[0.0]) + 0.02


def unet(seed):
    """With three decoder blocks, so with two coarser maps."""
    torch.manual_seed(seed)
    return UNet(2, 1, 2, (8, 8, 16, 16), (2, 2, 1), norm="instance")


def scales_of(method, images):
    maps = method.stages.decoder_maps(method.stages.encode(images))
    return [method.stages.output(maps[-1]), *method.heads(maps)]


def decoders_of(method, images):
    features = method.stages.encode(images)
    return [each.output(each.decode(features)) for each in (method.stages, *method.decoders)]


AGREEING = {
    "URPC": (URPC, scales_of, 0.1),
    "MCNet": (MCNet, decoders_of, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AGREEING)
def test_predictions_of_one_network_come_to_agree(name):
    """On held-out images. Nothing is said of a better Dice; a constant prediction, which agrees as well, has none."""
    kind, predictions_of, weight = AGREEING[name]
    apart, scores = {0.0: [], weight: []}, {0.0: [], weight: []}
    for seed in (0, 1, 2):
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        method = kind(unet(seed), SUPERVISED, 2, 0.0)
        trained = after_supervised_steps(method, labelled, unlabelled, seed, apart, falling=True)
        for each, made in zip(apart, trained, strict=True):
            with torch.no_grad():
                predictions = torch.stack([found.softmax(1) for found in predictions_of(made.eval(), held_out[0])])
            apart[each].append(predictions.var(0).mean().item())
            scores[each].append(dice(made.network, *held_out))
    assert mean(apart[weight]) < 0.8 * mean(apart[0.0])
    assert mean(scores[weight]) > mean(scores[0.0]) - 0.06


def told(method, images, labelled):
    """The mean probability that the evaluator gives images of being labeled, or of being not."""
    method.eval()
    with torch.no_grad():
        maps = method.predict(images)[1] if isinstance(method, SASSNet) else method.network(images).softmax(1)
        return method.adversary.discriminator(maps, images).softmax(1)[:, int(labelled)].mean().item()


@pytest.mark.slow
def test_dans_evaluator_tells_labeled_images():
    """Clean labeled images and noisy unlabeled ones, unseen both; one half is what any constant verdict gets."""
    right = []
    for seed in (0, 1, 2):
        labelled, (unlabelled, noisy_ones) = discs(2, 100 + seed), (discs(32, at + seed, 0.6) for at in (200, 300))
        method = DAN(convolutions(seed), SUPERVISED, 2, evaluator(2, width=8), 0.0)
        train(method, labelled, unlabelled, 150, seed)
        clean, _ = discs(32, 400 + seed)
        right.append((told(method, clean, True) + told(method, noisy_ones[0], False)) / 2)
    assert mean(right) > 0.8


@pytest.mark.slow
def test_dan_is_not_worse_than_labels_alone():
    """No gain is claimed: the published comparison finds harm. The weight rises as in its bundle."""
    scores = {0.0: [], 0.1: []}
    for seed in (0, 1, 2):
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        for weight in scores:
            method = DAN(convolutions(seed), SUPERVISED, 2, evaluator(2, width=8))
            for part in range(4):
                method.consistency_weight = ramp_up_value(50 * part + 1, value=weight, steps=200)
                train(method, labelled, unlabelled, 50, 10 * seed + part)
            scores[weight].append(dice(method.network, *held_out))
    assert mean(scores[0.1]) > mean(scores[0.0]) - 0.08 > 0.7


def segresnet(seed):
    torch.manual_seed(seed)
    return SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,), norm=("GROUP", {"num_groups": 4}))


@torch.no_grad()
def shapes(method, images, labels):
    """Dice, the share of pixels where the distances say another class, and the squared error of the distances."""
    maps, distance = method.eval().predict(images)
    found = maps[0].argmax(1, keepdim=True)
    apart = ((distance < 0) != (found == 1)).double().mean().item()
    return dice(method.network, images, labels), apart, (distance - signed_distance(labels, 2)).square().mean().item()


@pytest.mark.slow
def test_distances_teach_dtc_what_noise_is():
    """Held-out images are as noisy as the unlabeled ones, the labeled ones are clean; medians of five seeds.

    0.90 was found for the Dice with the consistency and 0.83 without it; 0.01 and 0.09 of the pixels are apart; the
    distances' error is 0.06, and 1.0 where no label is learned by them. Medians, since the steep step from distances to
    masks is chaotic: one of these seeds loses the foreground on some processors and learns it on others.
    """
    found = {}
    for weights in ((1.0, 0.3), (0.0, 0.3), (0.0, 0.0)):
        results = []
        for seed in range(5):
            labelled, (unlabelled, held_out) = (
                discs(2, 100 + seed),
                (discs(32, start + seed, 0.6) for start in (200, 300)),
            )
            method = DTC(segresnet(seed), SUPERVISED, 2, *weights)
            results.append(shapes(train(method, labelled, unlabelled, 150, seed, falling=True), *held_out))
        found[weights] = [median(each) for each in zip(*results, strict=True)]
    learned, without, untaught = found.values()
    assert learned[0] > without[0] + 0.03
    assert learned[1] < 0.4 * without[1]
    assert max(learned[2], without[2]) < 0.3 * untaught[2]


@pytest.mark.slow
def test_sassnets_evaluator_tells_labeled_images_and_the_network_learns_to_pass():
    """Clean labeled images and noisy unlabeled ones; means of three seeds.

    The evaluator tells 0.88 of unseen images right, one half is chance. Once it learns no more, the network's distances
    of noisy images are taken for labeled ones with 0.34, against 0.002 without this loss. The distances of labels are
    learned all the same, with an error of 0.08, and the Dice is not paid: 0.84 against 0.80 of labels alone.
    """
    right, passed, error, scores = [], {0.0: [], 0.1: []}, [], {0.0: [], 0.01: []}
    for seed in range(3):
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        for weight, found in scores.items():
            method = SASSNet(segresnet(seed), SUPERVISED, 2, evaluator(1, width=8), weight)
            train(method, labelled, unlabelled, 150, seed, falling=True)
            found.append(dice(method.eval().network, *held_out))
        clean, _ = discs(32, 400 + seed)
        right.append((told(method, clean, True) + told(method, held_out[0], False)) / 2)
        error.append(shapes(method, *held_out)[2])
        for weight, found in passed.items():
            made = copy.deepcopy(method)
            made.consistency_weight, made.adversary.optimizer.param_groups[0]["lr"] = weight, 0.0
            found.append(told(train(made, labelled, unlabelled, 50, seed, falling=True), held_out[0], True))
    assert mean(right) > 0.7
    assert mean(passed[0.1]) > mean(passed[0.0]) + 0.1 and mean(passed[0.0]) < 0.1
    assert mean(error) < 0.3
    assert mean(scores[0.01]) > mean(scores[0.0]) - 0.06


def dependence(method):
    """Mean share of each filter of the first network that lies in the span of the second's, by least squares."""
    shares = []
    for own, other in zip(*map(filters, (method.network, method.second)), strict=True):
        rows, span = own.detach().flatten(1).double(), other.detach().flatten(1).double()
        basis = torch.linalg.svd(span, full_matrices=False).Vh[: torch.linalg.matrix_rank(span)]
        shares.append(((rows @ basis.T).square().sum(1) / rows.square().sum(1)).mean().item())
    return mean(shares)


@pytest.mark.slow
def test_caussl_keeps_two_networks_apart_that_agree():
    """Means of three seeds: 0.28 of the filters depend on the other network's, against 0.45 under CPS alone.

    The Dice is not paid: 0.83 both.
    """
    apart, scores = {0.0: [], 3.0: []}, {0.0: [], 3.0: []}
    for seed in range(3):
        labelled, (unlabelled, held_out) = discs(2, 100 + seed), (discs(32, start + seed, 0.6) for start in (200, 300))
        for weight in apart:
            method = CauSSL(convolutions(seed), convolutions(seed + 50), SUPERVISED, 2, 0.3, weight, 20, 10)
            train(method, labelled, unlabelled, 150, seed, falling=True)
            apart[weight].append(dependence(method))
            scores[weight].append(dice(method.network.eval(), *held_out))
    assert mean(apart[3.0]) < 0.8 * mean(apart[0.0])
    assert mean(scores[3.0]) > mean(scores[0.0]) - 0.05
