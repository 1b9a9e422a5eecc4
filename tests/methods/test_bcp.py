# SPDX-License-Identifier: Apache-2.0
"""Bidirectional copy-paste: which pixel comes from whom, and what each costs."""

from itertools import product

import pytest
import torch
from segmentation_oracles import masked_dice_ce
from semi_supervised_cases import MASKED, convolutions, gradients, parts, views

from monai_cl_ext.methods import BCP, RandomBoxes

SIZE = 6


class Seen(torch.nn.Module):
    """A network that keeps what it is given."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        self.image = image
        return self.network(image)


def made(**more):
    """A method of float64, whose teacher has other weights than its student."""
    method = BCP(Seen(convolutions(dtype=torch.float64)), MASKED, more.pop("labelled", 3), **more)
    method.teacher.network.network.load_state_dict(convolutions(seed=1).state_dict())
    method.set_epoch(1)
    return method.train()


def in_box(method):
    """Whether a pixel is in the box that the method draws first."""
    boxes = RandomBoxes(2 / 3, 2 / 3, shared=True)
    boxes.set_epoch(1)
    ((first, behind),) = boxes.make_params(1, (SIZE, SIZE)).tolist()
    assert behind[0] - first[0] == behind[1] - first[1] == 4, "two thirds of six"
    return lambda *place: all(low <= at < high for low, at, high in zip(first, place, behind, strict=True))


def pasted(inside, outside, box):
    """Rows of ``inside`` in the box and of ``outside`` elsewhere, pixel by pixel."""
    result = outside.clone()
    for row, y, x in product(range(len(result)), range(SIZE), range(SIZE)):
        if box(y, x):
            result[row, :, y, x] = inside[row, :, y, x]
    return result


def ones(label, box, inside):
    """The mask of the pixels in the box, or of the others."""
    mask = torch.zeros(label.shape)
    return pasted(mask + inside, mask + 1 - inside, box)


def previous(rows):
    return torch.stack([rows[row - 1] for row in range(len(rows))])


def test_both_directions_and_their_costs():
    method = made(warm_up_steps=0, consistency_weight=0.5)
    (view,) = views(6, SIZE, dtype=torch.float64)
    labelled, unlabelled, label = view["image"][:3], view["image"][3:], view["label"][:3]
    losses, box = method([view], {}), in_box(method)

    pseudo = convolutions(seed=1, dtype=torch.float64)(unlabelled).argmax(1, keepdim=True)
    first, second = pasted(labelled, unlabelled, box), pasted(previous(unlabelled), labelled, box)
    assert torch.equal(method.network.image, torch.cat([first, second]))

    student = convolutions(dtype=torch.float64)
    logits = student(torch.cat([first, second]))
    targets = pasted(label, pseudo.byte(), box), pasted(previous(pseudo).byte(), label, box)
    in_it, around = ones(label, box, 1), ones(label, box, 0)
    supervised = masked_dice_ce(logits[:3], targets[0], in_it) + masked_dice_ce(logits[3:], targets[1], around)
    consistency = masked_dice_ce(logits[:3], targets[0], around) + masked_dice_ce(logits[3:], targets[1], in_it)
    for found, expected in zip(parts(losses, method), (supervised, consistency), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = gradients(supervised + 0.5 * consistency, student)
    for found, expected in zip(gradients(losses["loss"], method.network), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    losses["loss"].backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())


def test_the_warm_up_pastes_labeled_images_into_each_other():
    method = made(warm_up_steps=1)
    (view,) = views(6, SIZE, dtype=torch.float64)
    labelled, label = view["image"][:3], view["label"][:3]
    losses, box = method([view], {}), in_box(method)
    mixed = pasted(previous(labelled), labelled, box)
    assert torch.equal(method.network.image, mixed)
    logits, target = convolutions(dtype=torch.float64)(mixed), pasted(previous(label), label, box)
    expected = sum(masked_dice_ce(logits, target, ones(label, box, inside)) for inside in (0, 1))
    torch.testing.assert_close(losses["loss"], expected, rtol=0, atol=1e-12)


def test_pseudo_labels_are_refined_before_they_are_pasted():
    """Pseudo-labels that are all background cost what such labels cost."""
    (view,) = views(6, SIZE, dtype=torch.float64)
    found = made(warm_up_steps=0, refine=torch.zeros_like)([view], {})["consistency"]
    method = made(warm_up_steps=0)
    method.pseudo_labels = lambda image: torch.zeros(len(image), 1, SIZE, SIZE, dtype=torch.int64)
    assert torch.equal(found, method([view], {})["consistency"])
    assert not torch.equal(found, made(warm_up_steps=0)([view], {})["consistency"])


def test_each_step_has_a_box_of_its_own_and_each_epoch_draws_anew():
    method = made(warm_up_steps=0)
    (view,) = views(6, 16, dtype=torch.float64)
    seen = []
    for epoch in (1, 1, 2):
        method.set_epoch(epoch)
        for _ in range(4):
            method([view], {})
            seen.append(method.network.image)
    assert all(map(torch.equal, seen[:4], seen[4:8]))
    assert len({image[0].sum().item() for image in seen}) > 5


@pytest.mark.parametrize("rows", [5, 7])
@pytest.mark.parametrize("warm_up_steps", [0, 9])
def test_other_numbers_of_unlabeled_rows_are_refused(rows, warm_up_steps):
    method = made(warm_up_steps=warm_up_steps)
    with pytest.raises(ValueError, match=f"BCP pastes each of 3 labeled rows .* found {rows - 3}: give the sampler"):
        method(views(rows, SIZE, dtype=torch.float64), {})
