# SPDX-License-Identifier: Apache-2.0
"""Generators and discriminator of learned augmentation: the paper's parameters, what fields do, and what is refused."""

import pytest
import torch
from torch import nn

from monai_cl_ext.networks import DeformationGenerator, IntensityGenerator, image_discriminator

KINDS = pytest.mark.parametrize("kind", [DeformationGenerator, IntensityGenerator])
NETWORKS = {"deformation": DeformationGenerator, "intensity": IntensityGenerator, "discriminator": image_discriminator}


@pytest.mark.parametrize("name, size, count", [
    ("deformation", 224, 753_618), ("deformation", 192, 585_554), ("intensity", 224, 753_344),
    ("intensity", 192, 585_280), ("discriminator", 224, 1_499_489), ("discriminator", 192, 1_286_497),
])  # fmt: skip
def test_parameters_are_those_of_the_release(name, size, count):
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in NETWORKS[name](size).parameters()) == count


@KINDS
@pytest.mark.parametrize("dims, size", [(2, (32, 64)), (3, (32, 32, 64))])
def test_a_field_fits_the_image_and_rests_on_image_and_noise(kind, dims, size):
    torch.manual_seed(0)
    generator, image, noise = kind(size, 2, dims).eval(), torch.rand(2, 2, *size), torch.randn(2, 100)
    field = generator(image, noise)
    assert field.shape == (2, dims if kind is DeformationGenerator else 2, *size)
    assert not torch.allclose(generator(image.flip(0), noise), field)
    assert not torch.allclose(generator(image, noise.flip(0)), field)
    assert generator.changed(image, field).shape == image.shape
    none = torch.zeros_like(field)
    torch.testing.assert_close(generator.changed(image, none), image, rtol=0, atol=1e-5)
    label = nn.functional.one_hot(torch.randint(3, (2, *size)), 3).movedim(-1, 1).float()
    torch.testing.assert_close(generator.changed_label(label, none), label, rtol=0, atol=1e-5)
    changed = generator.changed_label(label, field)
    torch.testing.assert_close(changed.sum(1), torch.ones(2, *size), rtol=0, atol=1e-5)  # soft labels still


def test_intensities_are_added_and_leave_labels_alone():
    generator, image = IntensityGenerator(32), torch.rand(2, 1, 32, 32)
    field = generator(image, torch.randn(2, 100))
    assert field.abs().max() < 1 and torch.equal(generator.changed(image, field), image + field)
    label = torch.rand(2, 3, 32, 32)
    assert generator.changed_label(label, field) is label
    assert generator.told(field)["change"].item() == pytest.approx(field.abs().mean().item())


def test_displacements_move_image_and_label_alike_and_are_told():
    generator, image = DeformationGenerator(32), torch.rand(1, 1, 32, 32)
    field = torch.zeros(1, 2, 32, 32)
    field[:, 0], field[:, 1] = 3, 4
    for moved in (generator.changed(image, field), generator.changed_label(image, field)):
        torch.testing.assert_close(moved[..., 3:, 4:], image[..., :-3, :-4], rtol=0, atol=1e-5)
    told = generator.told(field.requires_grad_())
    assert told["displacement"].item() == 5 and told["folded"].item() == 0
    assert not any(value.requires_grad for value in told.values())


def test_displacements_may_be_clipped():
    torch.manual_seed(0)
    image, noise = torch.rand(2, 1, 32, 32), torch.randn(2, 100)
    free, clipped = DeformationGenerator(32).eval(), DeformationGenerator(32, maximum=0.01).eval()
    clipped.load_state_dict(free.state_dict())
    assert torch.equal(clipped(image, noise), free(image, noise).clamp(-0.01, 0.01))
    assert free(image, noise).abs().max() > 0.01


@KINDS
def test_the_last_level_of_the_noise_is_not_normalized(kind):
    assert type(kind(32).of_noise[-1]) is nn.Conv2d
    norms = [layer for layer in kind(32).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 8 and {layer.eps for layer in norms} == {1e-3}


@KINDS
def test_after_a_short_training_fields_of_evaluation_mode_follow_the_noise_as_those_of_training(kind):
    torch.manual_seed(0)
    generator = kind(32)
    image, noise = torch.rand(1, 1, 32, 32).expand(16, -1, -1, -1), torch.randn(16, 100)
    with torch.no_grad():
        for _ in range(80):
            learned = generator(image, torch.randn(16, 100))
        judged = generator.eval()(image, noise)
    assert judged.std(0).mean() == pytest.approx(learned.std(0).mean().item(), rel=0.25)


def test_the_layers_of_the_discriminator():
    network = image_discriminator((64, 32), 2)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.kernel_size, layer.stride) for layer in convolutions] == [
        (width, (5, 5), (2, 2)) for width in (16, 32, 64, 128, 128)
    ]
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [128, 128, 1]
    assert {layer.negative_slope for layer in network if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert network(torch.rand(3, 2, 64, 32)).shape == (3, 1)
    assert image_discriminator(32, 1, 3)(torch.rand(2, 1, 32, 32, 32)).shape == (2, 1)


def test_other_sizes_are_refused():
    for make in NETWORKS.values():
        with pytest.raises(ValueError, match=r"image_size must be multiples of 32 .*, found \(48, 64\)"):
            make((48, 64))
    with pytest.raises(ValueError, match=r"made for images of \(32, 32\), found \(64, 32\): give it the image_size"):
        DeformationGenerator(32)(torch.rand(1, 1, 64, 32), torch.randn(1, 100))
    with pytest.raises(ValueError, match="maximum must be a finite number above 0"):
        DeformationGenerator(32, maximum=0)
