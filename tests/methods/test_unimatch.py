# SPDX-License-Identifier: Apache-2.0
"""UniMatch and FixMatch: their loss by hand, pixel by pixel where boxes are pasted."""

from itertools import product

import pytest
import torch
from semi_supervised_cases import SUPERVISED, gradients, parts, unet, views
from torch.nn.functional import dropout2d

from monai_cl_ext.methods import RandomBoxes, UniMatch
from monai_cl_ext.networks import stages

SIZE, UNLABELLED = 16, 3
THRESHOLD = 0.4  # a new network is sure of little


def made(**more):
    more = {"threshold": THRESHOLD, "boxes": RandomBoxes(0.4, 0.7, probability=0.7, seed=3), **more}
    method = UniMatch(unet(dtype=torch.float64), SUPERVISED, 2, **more)
    method.set_epoch(1)
    return method.train()


def images(strong=2):
    return views(2 + UNLABELLED, SIZE, 1 + strong, torch.float64)


def pasted(rows, corners):
    """Rows with, in each one's box, the pixels of the row before it."""
    result = rows.clone()
    for row, (first, behind) in enumerate(corners.tolist()):
        for y, x in product(range(first[0], behind[0]), range(first[1], behind[1])):
            result[row, :, y, x] = rows[row - 1, :, y, x]
    return result


def dice(logits, label, kept):
    """Dice loss of all classes over the kept pixels of the batch."""
    terms = []
    for number in range(logits.shape[1]):
        p, y = logits.softmax(1)[:, number][kept[:, 0]], (label[:, 0] == number)[kept[:, 0]].double()
        terms.append(1 - (2 * (p * y).sum() + 1e-10) / ((p * p).sum() + (y * y).sum() + 1e-10))
    return sum(terms) / len(terms)


def weak(network, view):
    """Logits of the weak view and, of its unlabeled rows, pseudo-labels and what is learned of them."""
    logits = network(view["image"])
    confidence, label = network(view["image"][2:]).detach().softmax(1).max(1, keepdim=True)
    kept = confidence >= THRESHOLD
    assert 0.1 < kept.double().mean() < 0.9
    return logits, label, kept


def strong_losses(network, given, label, kept):
    boxes = RandomBoxes(0.4, 0.7, probability=0.7, seed=3)
    boxes.set_epoch(1)
    corners = [boxes.make_params(UNLABELLED, (SIZE, SIZE)) for _ in given[1:]]
    mixed = [pasted(view["image"][2:], each) for view, each in zip(given[1:], corners, strict=True)]
    logits = network(torch.cat(mixed)).split(UNLABELLED)
    assert sum(not torch.equal(image, view["image"][2:]) for image, view in zip(mixed, given[1:], strict=True))
    return [dice(one, pasted(label, each), pasted(kept, each)) for one, each in zip(logits, corners, strict=True)]


def test_confidence_has_the_precision_of_the_logits():
    """A probability that float32 rounds up to the threshold does not reach it."""
    method, given = made(threshold=1.0, feature_dropout=0.0, momentum=0.0), images()
    with torch.no_grad():
        layer = method.network.final_conv
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([20.0, 0.0, 0.0]))  # 1 - 4e-9
    method.after_step()
    assert method(given, {})["confident"].item() == 0


@pytest.mark.parametrize("strong", [1, 2, 3])
def test_without_feature_dropout_it_is_fixmatch(strong):
    method, given, network = made(feature_dropout=0.0), images(strong), unet(dtype=torch.float64)
    method.check_views(1 + strong)
    losses = method(given, {})
    logits, label, kept = weak(network, given[0])
    supervised = SUPERVISED(logits[:2], given[0]["label"][:2])
    consistency = sum(strong_losses(network, given, label, kept)) / strong
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert losses["confident"].item() == pytest.approx(kept.double().mean().item())
    wanted = gradients(supervised + consistency, network)
    for found, expected in zip(gradients(losses["loss"], method.network), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_half_of_the_consistency_is_that_under_feature_dropout():
    method, given, network = made(consistency_weight=0.7), images(), unet(dtype=torch.float64)
    torch.manual_seed(7)
    losses = method(given, {})
    logits, label, kept = weak(network, given[0])
    strong = strong_losses(network, given, label, kept)
    parts_of = stages(unet(dtype=torch.float64))
    features = [level[2:] for level in parts_of.encode(given[0]["image"])]
    torch.manual_seed(7)
    dropped = [dropout2d(level, 0.5) for level in features]
    assert all((after == 0).flatten(2).all(2).any() for after in dropped), "whole channels are dropped"
    under_dropout = dice(parts_of.output(parts_of.decode(dropped)), label, kept)
    supervised, consistency = parts(losses, method)
    torch.testing.assert_close(supervised, SUPERVISED(logits[:2], given[0]["label"][:2]), rtol=0, atol=1e-6)
    expected = sum(strong) / 4 + under_dropout / 2
    torch.testing.assert_close(consistency, expected, rtol=0, atol=1e-6)
    assert abs(under_dropout - sum(strong) / 2) > 1e-3


def test_a_teacher_of_its_own_gives_the_pseudo_labels():
    """Its weights are the student's at the end of the warm-up; a step later three quarters of these are left."""
    method, given = made(feature_dropout=0.0, momentum=0.75, warm_up_steps=1), images(1)
    alone = method(given, {})
    assert set(alone) == {"loss"}
    torch.testing.assert_close(alone["loss"], SUPERVISED(method.network(given[0]["image"][:2]), given[0]["label"][:2]))
    weights: list[list[torch.Tensor]] = []
    for step in range(2):
        method.iteration = step
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter.add_(0.1 * parameter.roll(1, 0))
        method.after_step()
        weights.append([parameter.clone() for parameter in method.network.parameters()])
    teacher = unet(dtype=torch.float64)
    with torch.no_grad():
        for own, first, second in zip(teacher.parameters(), *weights, strict=True):
            own.copy_(0.75 * first + 0.25 * second)
    method.iteration = 2
    losses = method(given, {})
    _, label, kept = weak(teacher, given[0])
    (expected,) = strong_losses(method.network, given, label, kept)
    torch.testing.assert_close(losses["consistency"], expected, rtol=0, atol=1e-6)
    _, own_label, _ = weak(method.network, given[0])
    assert not torch.equal(label, own_label)


def test_pseudo_labels_get_no_gradient():
    """Of FixMatch's consistency the weak view gets none: its gradient is that of the strong views alone."""
    method, given = made(feature_dropout=0.0), images()
    given[0]["image"].requires_grad_()
    losses = method(given, {})
    (gradient,) = torch.autograd.grad(losses["consistency"], given[0]["image"], retain_graph=True, allow_unused=True)
    assert gradient is None or not gradient.any()
    (gradient,) = torch.autograd.grad(losses["supervised"], given[0]["image"])
    assert gradient[:2].any()


def test_nothing_is_learned_where_the_network_is_not_sure():
    method = made(threshold=1.0)
    losses = method(images(), {})
    assert losses["confident"].item() == 0 and losses["consistency"].item() == 0
    everything = made(threshold=0.0)(images(), {})
    assert everything["confident"].item() == 1 and everything["consistency"].item() > 0.1


def test_labels_of_unlabeled_rows_are_not_looked_at():
    given = images()
    ignored = [{**view, "label": view["label"].clone()} for view in given]
    for view in ignored:
        view["label"][2:] = 255
    found = [made(feature_dropout=0.0)(each, {})["loss"] for each in (given, ignored)]
    assert torch.equal(*found)


def test_other_views_and_arguments_are_refused():
    with pytest.raises(ValueError, match=r"UniMatch takes at least 2 view\(s\) of an image, found 1"):
        made()(images(0), {})
    with pytest.raises(ValueError, match="threshold must be a number from 0 to 1, found 1.5"):
        made(threshold=1.5)
    with pytest.raises(ValueError, match="feature_dropout must be a number from 0 to 1, found 2"):
        made(feature_dropout=2)
