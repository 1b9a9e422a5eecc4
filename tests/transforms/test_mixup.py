# SPDX-License-Identifier: Apache-2.0
"""Mixup: its formula, its draws, and that MONAI's losses and trainer take what it gives."""

import pytest
import torch
from monai.engines import PrepareBatch, SupervisedTrainer
from monai.losses import DiceCELoss, DiceLoss
from operation_cases import noise

from monai_cl_ext.transforms import PrepareAugmented, PrepareMixup, gcl_finetune_policy, identity_policy
from monai_cl_ext.transforms.prepare_mixup import mixed


def batch() -> dict[str, torch.Tensor]:
    label = torch.randint(3, (6, 1, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return {"image": noise(6, 1, 24, 24), "label": label}


def plain(alpha: float = 1.0, seed: int = 0) -> PrepareMixup:
    return PrepareMixup(PrepareAugmented(identity_policy(), seed), num_classes=3, alpha=alpha, seed=seed)


def test_the_formula_for_given_weights_and_partners():
    rows = noise(3, 2, 4, 5, dtype=torch.float64)
    found = mixed(rows, torch.tensor([[0.25, 1], [1.0, 2], [0.0, 0]]))
    torch.testing.assert_close(found[0], 0.25 * rows[0] + 0.75 * rows[1])
    assert torch.equal(found[1], rows[1]) and torch.equal(found[2], rows[0])


def test_image_and_label_are_mixed_alike():
    data, prepare = batch(), plain()
    params = plain().make_params(6, plain().generator)
    image, label = prepare(data, torch.device("cpu"), False)
    assert isinstance(prepare, PrepareBatch) and image.dtype == label.dtype == torch.float32
    onehot = torch.stack([(data["label"][:, 0] == number).float() for number in range(3)], dim=1)
    for row, (weight, partner) in enumerate(params.tolist()):
        other = int(partner)
        torch.testing.assert_close(image[row], weight * data["image"][row] + (1 - weight) * data["image"][other])
        torch.testing.assert_close(label[row], weight * onehot[row] + (1 - weight) * onehot[other])
    torch.testing.assert_close(label.sum(dim=1), torch.ones(6, 24, 24))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 5.0])
def test_weights_are_beta_and_partners_are_a_permutation(alpha):
    prepare = plain(alpha)
    params = torch.stack([prepare.make_params(8, prepare.generator) for _ in range(1000)])
    weight, partner = params.unbind(dim=-1)
    assert weight.min() >= 0 and weight.max() <= 1
    assert weight.mean().item() == pytest.approx(0.5, abs=0.02)
    assert weight.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    assert torch.equal(partner.sort(dim=1).values, torch.arange(8.0).expand(1000, 8))
    assert len(partner.unique(dim=0)) > 900


def test_batches_are_a_function_of_seed_and_epoch_inside_too():
    def made(seed: int) -> PrepareMixup:
        return PrepareMixup(PrepareAugmented(gcl_finetune_policy(), seed), 3, 1.0, seed)

    first, again, later, other_seed = (made(seed) for seed in (5, 5, 5, 6))
    first(batch())  # what was drawn before an epoch began leaves no trace in it
    for prepare, epoch in ((first, 3), (again, 3), (later, 4), (other_seed, 3)):
        prepare.set_epoch(epoch)
    one, two = first(batch()), first(batch())
    for here, there in ((one, again(batch())), (two, again(batch()))):
        assert torch.equal(here[0], there[0]) and torch.equal(here[1], there[1])
    for different in (two, later(batch()), other_seed(batch())):
        assert not torch.allclose(one[0], different[0])


def whole_weight(*_) -> torch.Tensor:
    """Parameters under which every image stays as it is."""
    return torch.stack([torch.ones(6), torch.arange(6.0)], dim=1)


def test_without_an_epoch_the_second_batch_does_not_repeat_the_first():
    """The first draw seeds what is inside; it must not do so again."""
    prepare, alone = PrepareMixup(PrepareAugmented(gcl_finetune_policy()), 3), PrepareAugmented(gcl_finetune_policy())
    prepare.make_params = whole_weight
    for _ in range(2):
        assert torch.equal(prepare(batch())[0], alone(batch())[0])


def test_the_draws_are_not_those_of_the_augmentation():
    prepare = plain()
    assert prepare.generator.initial_seed() != prepare.prepare.generator.initial_seed()


@pytest.mark.parametrize("loss", [DiceCELoss, DiceLoss])
def test_monai_s_losses_take_soft_labels(loss):
    """With all weights 1 the loss is that of the hard labels; its cross-entropy is linear in the labels."""
    logits = noise(6, 3, 24, 24)
    hard = loss(to_onehot_y=True, softmax=True)(logits, batch()["label"].long())
    prepare = plain()
    prepare.make_params = whole_weight
    image, label = prepare(batch())
    assert torch.equal(image, batch()["image"])
    soft = loss(to_onehot_y=False, softmax=True)
    torch.testing.assert_close(soft(logits, label), hard)
    if loss is DiceCELoss:
        _, mixture = plain()(batch())
        expected = -(mixture * logits.log_softmax(dim=1)).sum(dim=1).mean()
        torch.testing.assert_close(soft.ce(logits, mixture), expected)


def test_monai_s_trainer_learns_from_mixed_batches():
    network = torch.nn.Conv2d(1, 3, 3, padding=1)
    before = network.weight.clone()
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[batch(), batch()],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=DiceCELoss(to_onehot_y=False, softmax=True),
        prepare_batch=PrepareMixup(PrepareAugmented(gcl_finetune_policy()), 3),
        to_kwargs={"memory_format": torch.channels_last},
    ).run()
    assert not torch.equal(network.weight, before)


@pytest.mark.gpu
def test_cuda_mixes_as_the_cpu():
    for here, there in zip(plain()(batch(), "cpu"), plain()(batch(), "cuda", True), strict=True):
        torch.testing.assert_close(there.cpu(), here)


def test_arguments_without_meaning_are_refused():
    with pytest.raises(ValueError, match="alpha must be a finite number above 0, found 0"):
        PrepareMixup(PrepareAugmented(identity_policy()), 3, alpha=0)
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, found 0"):
        PrepareMixup(PrepareAugmented(identity_policy()), 0)
