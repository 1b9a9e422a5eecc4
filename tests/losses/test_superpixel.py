# SPDX-License-Identifier: Apache-2.0
"""Contrast of pixels under superpixels."""

import pytest
import torch
from contrast_oracles import assert_same, joint_oracle, rows
from graph_oracles import PeakBytes, assert_never_waits, assert_tiles_change_nothing
from test_kernel import LargestTensor
from torch._subclasses.fake_tensor import FakeTensorMode

from monai_cl_ext.losses import SuperpixelContrastiveLoss, kernel

SUPERPIXELS = torch.tensor([[[0, 0, 1, 1], [0, 2, 2, 1], [5, 5, 2, 9]], [[3, 3, 3, 3], [3, 7, 7, 7], [3, 7, 8, 8]]])


def maps(size=(3, 4), seed=0):
    """Two views of two images, (2, 2, 3, *size), of uneven scale."""
    return rows(2, 2, 3, torch.Size(size).numel(), seed=seed).unflatten(-1, size).detach().requires_grad_()


def expected_loss(f, superpixels, stride=1, cross_view_only=False):
    """Mean over images of the mean over the rows of both views, with gradient in f."""
    images = []
    for image in range(f.shape[1]):
        label = superpixels[image].flatten().tolist()[::stride]
        n = len(label)
        vectors = torch.cat([view[image].flatten(1).T[::stride] for view in f])

        def positive(a, k, label=label, n=n):
            return label[a % n] == label[k % n] and not (cross_view_only and a // n == k // n)

        images.append(joint_oracle(vectors, positive, lambda a, k: True, 0.1))
    return sum(images) / len(images)


@pytest.mark.parametrize("stride", [1, 2, 5, 12, 100])
@pytest.mark.parametrize("cross_view_only", [False, True])
def test_equals_the_oracle_with_gradient(stride, cross_view_only):
    f = maps()
    loss = SuperpixelContrastiveLoss(0.1, stride, cross_view_only)(*f, SUPERPIXELS)
    expected = expected_loss(f, SUPERPIXELS, stride, cross_view_only)
    if stride < 12:
        assert_same(loss, expected, f)
    else:  # one pixel is left; its other view is all there is
        assert loss.item() == pytest.approx(expected.item(), abs=1e-12) == 0


def test_volumes_are_like_images():
    f = maps((3, 2, 2))
    superpixels = SUPERPIXELS.reshape(2, 3, 2, 2)
    assert_same(SuperpixelContrastiveLoss()(*f, superpixels), expected_loss(f, superpixels), f)


def test_base_temperature_multiplies():
    f = maps()
    loss = SuperpixelContrastiveLoss(base_temperature=0.07)(*f, SUPERPIXELS)
    assert_same(loss, expected_loss(f, SUPERPIXELS) * 0.1 / 0.07, f)


@pytest.mark.parametrize("cross_view_only", [False, True])
def test_gradcheck(cross_view_only):
    loss = SuperpixelContrastiveLoss(0.2, stride=2, cross_view_only=cross_view_only)
    assert torch.autograd.gradcheck(lambda f: loss(*f, SUPERPIXELS), maps())


def test_order_of_images_and_pixels_scale_and_names_of_superpixels_change_nothing():
    f = maps()
    loss = SuperpixelContrastiveLoss()(*f, SUPERPIXELS)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = f.flatten(3)[..., order].unflatten(-1, (3, 4)).flip(0, 1)  # other pixels, views and images
    names = 100 - SUPERPIXELS.flatten(1)[:, order].unflatten(-1, (3, 4)).flip(0)
    scale = torch.logspace(-2, 2, 12, dtype=torch.float64).view(3, 4)
    assert_same(SuperpixelContrastiveLoss()(*(moved * scale), names), loss, f)


def test_images_do_not_meet():
    f = maps()
    alone = [SuperpixelContrastiveLoss()(*f[:, [image]], SUPERPIXELS[[image]]) for image in range(2)]
    assert_same(SuperpixelContrastiveLoss()(*f, SUPERPIXELS), sum(alone) / 2, f)


@pytest.mark.parametrize("cross_view_only", [False, True])
def test_tile_size_changes_nothing(monkeypatch, cross_view_only):
    f = maps()
    loss = SuperpixelContrastiveLoss(cross_view_only=cross_view_only)
    assert_tiles_change_nothing(monkeypatch, lambda: loss(*f, SUPERPIXELS), 48, f)


def test_no_image_gives_zero_and_is_differentiable():
    f = torch.randn(2, 0, 3, 4, 4, requires_grad=True)
    loss = SuperpixelContrastiveLoss()(*f, torch.zeros(0, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert f.grad.shape == f.shape


def test_bfloat16_autocast_gives_float32():
    f = maps().detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = SuperpixelContrastiveLoss()(*f, SUPERPIXELS)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    torch.testing.assert_close(loss, SuperpixelContrastiveLoss()(*f.float(), SUPERPIXELS), rtol=0, atol=0)


def test_never_waits_for_the_device():
    assert_never_waits(SuperpixelContrastiveLoss(cross_view_only=True), *maps().unbind(), SUPERPIXELS)


def test_no_matrix_of_all_pairs_exists_forward_or_backward(monkeypatch):
    monkeypatch.setitem(kernel.TILE_ELEMENTS, "cpu", 4 * 2048)
    f = torch.randn(2, 1, 3, 32, 32, requires_grad=True)
    with LargestTensor() as largest:
        SuperpixelContrastiveLoss()(*f, torch.arange(1024).view(1, 32, 32) // 10).backward()
    assert largest.elements == 2 * 1024 * 4  # a tile of four anchors; all pairs would be 512 times that


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cross_view_only", [False, True])
def test_four_images_of_128_pixels_and_64_channels_stay_under_half_a_gigabyte(monkeypatch, dtype, cross_view_only):
    """With the tile of a GPU, the largest; on tensors without values, so that only the bytes are counted."""
    monkeypatch.setitem(kernel.TILE_ELEMENTS, "cpu", kernel.TILE_ELEMENTS["cuda"])
    with FakeTensorMode():
        f = [torch.randn(4, 64, 128, 128, dtype=dtype, requires_grad=True) for _ in range(2)]
        superpixels = torch.zeros(4, 128, 128, dtype=torch.int32)
        with PeakBytes() as bytes_:
            SuperpixelContrastiveLoss(cross_view_only=cross_view_only)(*f, superpixels).backward()
    gradients = sum(view.grad.nbytes for view in f)
    assert 0.1e9 < bytes_.peak - gradients < 0.5e9


@pytest.mark.gpu
def test_half_a_gigabyte_on_a_gpu():
    f = [torch.randn(4, 64, 128, 128, device="cuda", requires_grad=True) for _ in range(2)]
    for view in f:
        view.grad = torch.zeros_like(view)
    superpixels = torch.randint(100, (4, 128, 128), device="cuda")
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    SuperpixelContrastiveLoss()(*f, superpixels).backward()
    assert torch.cuda.max_memory_allocated() - before < 0.5e9
    assert all(view.grad.isfinite().all() and view.grad.any() for view in f)


@pytest.mark.parametrize(
    ("second", "superpixels", "found"),
    [
        ((2, 3, 4, 5), (2, 4, 4), r"one shape, found \(2, 3, 4, 4\) and \(2, 3, 4, 5\)"),
        ((2, 3, 4, 4), (2, 1, 4, 4), r"\(B, \*S\).*and \(2, 1, 4, 4\): .* channel axis"),
        ((2, 3, 4, 4), (2, 64, 64), r"\(B, \*S\).*and \(2, 64, 64\): .* size of the features"),
    ],
)
def test_shapes_must_fit(second, superpixels, found):
    with pytest.raises(ValueError, match=found):
        SuperpixelContrastiveLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(second), torch.zeros(superpixels))


def test_rows_without_pixels_are_an_error():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2,\)"):
        SuperpixelContrastiveLoss()(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2))


@pytest.mark.parametrize(
    ("argument", "value"), [("temperature", 0), ("stride", 0), ("stride", 1.5), ("base_temperature", -1)]
)
def test_arguments_must_be_in_range(argument, value):
    with pytest.raises(ValueError, match=f"^{argument} must"):
        SuperpixelContrastiveLoss(**{argument: value})
