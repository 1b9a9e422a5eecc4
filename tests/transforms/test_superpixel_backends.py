# SPDX-License-Identifier: Apache-2.0
"""Superpixel maps by every backend that is installed."""

import importlib
import importlib.util
import inspect
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Transform
from scipy import ndimage
from skimage.segmentation import slic

import monai_cl_ext.transforms as ours
from monai_cl_ext.metrics import superpixel_report
from monai_cl_ext.transforms import Superpixel, Superpixeld, batched_slic
from monai_cl_ext.transforms.superpixels.backends import BACKENDS

LIBRARIES = [name for name, each in BACKENDS.items() if not each.network]  # learned ones have tests of their own
PACKAGES = {"opencv_slic": "cv2", "opencv_lsc": "cv2", "opencv_seeds": "cv2", "simpleitk": "SimpleITK"}
AFFINE = torch.tensor([[0, -1.5, 0, 10], [2.0, 0, 0, -4], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=torch.float64)


def installed(name: str) -> pytest.param:
    package = PACKAGES.get(name)
    there = package is None or importlib.util.find_spec(package) is not None
    return pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"needs {package}"))


each_backend = pytest.mark.parametrize("backend", [installed(name) for name in LIBRARIES])
flat_backend = pytest.mark.parametrize("backend", ["felzenszwalb", *map(installed, list(PACKAGES)[:3])])
compact_backend = pytest.mark.parametrize(
    "backend", [installed(name) for name in LIBRARIES if name not in ("felzenszwalb", "opencv_seeds")]
)
volume_backend = pytest.mark.parametrize("backend", ["skimage", "torch", "snic", installed("simpleitk")])


def blobs(*shape: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(values, (0, *[3.0] * (len(shape) - 1))).astype(np.float32)


def components(labels: torch.Tensor) -> int:
    array = labels.numpy()
    return sum(ndimage.label(array == label)[1] for label in np.unique(array))


def check_valid(labels: torch.Tensor, size: tuple[int, ...], segments: int) -> None:
    assert labels.shape == (1, *size) and labels.dtype == torch.int32
    values = labels.unique()
    assert torch.equal(values, torch.arange(len(values)).int())
    assert components(labels[0]) == len(values)
    assert 0.6 * segments <= len(values) <= 1.4 * segments


def grid(size: tuple[int, ...], count: int) -> np.ndarray:
    """A regular grid of about ``count`` cells, and not fewer."""
    rows = max(1, round((count * size[0] / size[1]) ** 0.5))
    columns = -(-count // rows)
    row, column = np.indices(size)
    return row * rows // size[0] * columns + column * columns // size[1]


@pytest.fixture(scope="module")
def labelled_slices(real_data) -> list[tuple[np.ndarray, np.ndarray]]:
    """The middle slices of a few ACDC patients and their labels."""
    slices = []
    for path in sorted((real_data / "ACDC" / "imagesTr").glob("*_frame01.nii.gz"))[:12:2]:
        image = np.asanyarray(nibabel.load(path).dataobj)
        label = np.asanyarray(nibabel.load(real_data / "ACDC" / "labelsTr" / path.name).dataobj)
        middle = image.shape[2] // 2
        slices.append((image[None, :, :, middle].astype(np.float32), label[:, :, middle].astype(np.int64)))
    return slices


def scores(maps: list, slices: list, name: str) -> float:
    found = [superpixel_report(each[None], label[None])[name] for each, (_, label) in zip(maps, slices, strict=True)]
    return float(torch.cat(found).mean())


def test_monai_s_three_names_and_arguments():
    assert ours.SuperpixelD is ours.SuperpixelDict is Superpixeld
    assert issubclass(Superpixel, Transform) and issubclass(Superpixeld, MapTransform)
    found = inspect.signature(Superpixeld).parameters
    names = ["keys", "n_segments", "compactness", "backend", "output_key", "allow_missing_keys", "weights"]
    assert list(found) == names
    assert [found[name].default for name in list(found)[1:]] == [100, 10, "skimage", "superpixel", False, ""]


@each_backend
def test_maps_of_slices_are_valid_and_come_out_the_same(backend):
    image = blobs(1, 96, 80)
    transform = Superpixel(40, 10.0, backend)
    found = transform(image)
    check_valid(found, (96, 80), 40)
    assert all(torch.equal(transform(image), found) for _ in range(5))
    assert torch.equal(pickle.loads(pickle.dumps(transform))(torch.from_numpy(image)), found)
    assert not torch.equal(transform(blobs(1, 96, 80, seed=1)), found)


def test_opencv_runs_on_one_thread_and_gets_its_threads_back(monkeypatch):
    opencv = pytest.importorskip("cv2")
    before, seen = opencv.getNumThreads(), []
    real = opencv.ximgproc.createSuperpixelLSC
    monkeypatch.setattr(
        opencv.ximgproc, "createSuperpixelLSC", lambda *given: seen.append(opencv.getNumThreads()) or real(*given)
    )
    opencv.setNumThreads(2)
    try:
        Superpixel(16, backend="opencv_lsc")(blobs(1, 40, 40))
        assert seen == [1] and opencv.getNumThreads() == 2
    finally:
        opencv.setNumThreads(before)


def test_opencv_stays_on_one_thread_until_the_last_of_several_maps_is_made(monkeypatch):
    opencv = pytest.importorskip("cv2")
    before, seen, entered, left = opencv.getNumThreads(), {}, threading.Event(), threading.Event()
    real = opencv.ximgproc.createSuperpixelLSC

    def create(picture, *given):
        if picture.shape[0] == 40:  # this one begins first and ends first
            assert entered.wait(30)
        else:
            entered.set()
            assert left.wait(30)
        seen[picture.shape[0]] = opencv.getNumThreads()
        return real(picture, *given)

    monkeypatch.setattr(opencv.ximgproc, "createSuperpixelLSC", create)
    opencv.setNumThreads(2)
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = (pool.submit(Superpixel(16, backend="opencv_lsc"), blobs(1, n, n)) for n in (40, 48))
            first.result(60)
            left.set()
            second.result(60)
        assert seen == {40: 1, 48: 1} and opencv.getNumThreads() == 2
    finally:
        opencv.setNumThreads(before)


@flat_backend
@pytest.mark.parametrize(
    "size", [(64, 48), (20, 200), (200, 20), (16, 400), (96, 17), (9, 30), (20, 20), (8, 8), (1, 3)]
)
def test_any_number_of_segments_of_images_of_any_shape_gives_a_map_or_an_error(backend, size):
    for count in (1, 4, 16, 100, 3000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few segments
            try:
                labels = Superpixel(count, backend=backend)(blobs(1, *size))
            except ValueError as error:
                assert backend == "opencv_seeds" and "at least 8 x 8 pixels, and not much longer" in str(error)
            else:
                values = labels.unique()
                assert labels.shape == (1, *size) and torch.equal(values, torch.arange(len(values)).int())


@each_backend
@pytest.mark.parametrize("channels", [2, 3])
def test_several_channels(backend, channels):
    check_valid(Superpixel(40, 20.0, backend)(blobs(channels, 96, 80)), (96, 80), 40)


@volume_backend
@pytest.mark.parametrize("channels", [1, 2])
def test_supervoxels(backend, channels):
    check_valid(Superpixel(60, 20.0, backend)(blobs(channels, 36, 32, 24)), (36, 32, 24), 60)


@flat_backend
def test_flat_backends_refuse_volumes(backend):
    with pytest.raises(ValueError, match="2D"):
        Superpixel(backend=backend)(blobs(1, 12, 12, 12))


@each_backend
def test_a_constant_image_is_cut_into_pieces_or_left_whole(backend):
    found = Superpixel(16, 10.0, backend)(np.full((1, 64, 64), 3, dtype=np.int16))
    if backend in ("felzenszwalb", "opencv_lsc"):
        assert found.max() == 0  # where nothing differs these two see one segment
    else:
        check_valid(found, (64, 64), 16)


def test_more_objects_than_segments_are_no_single_segment():
    image = np.kron(np.ones((5, 5)), np.pad(np.ones((34, 34)), 3))[None].astype(np.float32)
    found = Superpixel(10, backend="felzenszwalb")(image)
    assert int(found.max()) == 25  # and the ground


def test_noise_that_joins_all_superpixels_is_warned_of():
    noise = torch.rand(1, 64, 48, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="fewer than a quarter of the 40 superpixels .* 'skimage': noise"):
        Superpixel(40)(noise)


@each_backend
def test_the_range_of_intensities_does_not_matter(backend):
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64)).astype(np.float32)
    image = np.round(ndimage.uniform_filter(image, (0, 8, 8)) * 4)  # whole numbers: scaling by a power of 2 is exact
    transform = Superpixel(16, 10.0, backend)
    assert torch.equal(transform(image), transform(image * 256))
    assert torch.equal(transform(image), transform(image.astype(np.int16)))


@compact_backend
def test_compactness_has_one_meaning(backend):
    """At 1000 the maps are nearly the grid, at 10 they follow an edge of the full range that the grid does not have."""
    image = np.zeros((1, 90, 90), dtype=np.float32)
    image[..., 37:] = 1.0
    edge = (image[0] > 0).astype(np.int64)
    recall = {}
    for compactness in (10.0, 1000.0):
        found = Superpixel(36, compactness, backend)(image)
        recall[compactness] = float(superpixel_report(found, edge[None], tolerance=0)["boundary_recall"])
    assert recall[10.0] > 0.95 and recall[1000.0] < 0.5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(50, 40), (20, 16, 12)])
def test_the_reference_is_scikit_image_s_slic_of_a_picture(channels, size):
    image = blobs(channels, *size)
    picture = np.moveaxis(np.repeat(image, 3 // channels, axis=0), 0, -1)
    expected = slic(picture, n_segments=30, compactness=10, start_label=0, channel_axis=-1)
    assert np.array_equal(Superpixel(30, 10)(image)[0].numpy(), expected)


def test_two_equal_channels_are_one_for_the_reference():
    image = blobs(1, 50, 40)
    one, two = Superpixel(30)(image), Superpixel(30)(np.repeat(image, 2, axis=0))
    assert (one == two).float().mean() > 0.98


def test_the_torch_backend_is_batched_slic():
    images = torch.from_numpy(blobs(3, 64, 48))[:, None]
    expected = batched_slic(images, 30)
    for image, each in zip(images, expected, strict=True):
        assert torch.equal(Superpixel(30, backend="torch")(image)[0], each)


@pytest.mark.parametrize("backend", ["skimage", "torch", "snic"])
def test_a_meta_tensor_keeps_its_affine(backend):
    image = MetaTensor(blobs(1, 48, 40), affine=AFFINE, meta={"filename_or_obj": "case.nii"})
    item = Superpixeld(["image"], 20, backend=backend)({"image": image, "name": "case"})
    assert isinstance(item["superpixel"], MetaTensor) and torch.equal(item["superpixel"].affine, AFFINE)
    assert item["superpixel"].meta["filename_or_obj"] == "case.nii"
    assert item["image"] is image and item["name"] == "case" and set(item) == {"image", "name", "superpixel"}


def test_dictionary_keys():
    item = {"first": blobs(1, 40, 40), "second": blobs(1, 40, 40, seed=1)}
    made = Compose([Superpixeld(["first", "second"], 16, output_key=["one", "two"])])(item)
    assert torch.equal(made["one"], Superpixel(16)(item["first"]))
    assert torch.equal(made["two"], Superpixel(16)(item["second"]))
    with pytest.raises(KeyError, match="third"):
        Superpixeld("third")(item)
    assert set(Superpixeld("third", allow_missing_keys=True)(item)) == {"first", "second"}
    for output_key in ("superpixel", ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="output_key"):
            Superpixeld(["first", "second"], output_key=output_key)


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [
        ("skimage", "scikit-image", "superpixels"),
        ("felzenszwalb", "scikit-image", "superpixels"),
        ("opencv_slic", "opencv-contrib-python-headless", "opencv"),
        ("opencv_lsc", "opencv-contrib-python-headless", "opencv"),
        ("opencv_seeds", "opencv-contrib-python-headless", "opencv"),
        ("simpleitk", "SimpleITK", "simpleitk"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(backend, package, extra, monkeypatch):
    real = importlib.import_module

    def without(name, *arguments):
        if name.split(".")[0] in ("skimage", "cv2", "SimpleITK"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ImportError, match=rf"needs the package {package}.*monai-cl-ext\[{extra}\]"):
        Superpixeld("image", backend=backend)
    Superpixeld("image", backend="torch")


@pytest.mark.parametrize("wrong", [{"n_segments": 0}, {"compactness": -1.0}, {"backend": "slico"}])
def test_arguments_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Superpixel(**wrong)


def test_images_are_checked():
    image = blobs(1, 20, 20)
    image[0, 3, 4] = np.nan
    with pytest.raises(ValueError, match="finite"):
        Superpixel()(image)
    for shape in ((20, 20), (1, 4, 4, 4, 4), (1, 0, 4)):
        with pytest.raises(ValueError, match="must be"):
            Superpixel()(np.zeros(shape, dtype=np.float32))


@each_backend
def test_borders_of_real_hearts_are_found_better_than_by_a_grid(backend, labelled_slices):
    maps = [Superpixel(100, 10.0, backend)(image)[0].as_tensor() for image, _ in labelled_slices]
    for each in maps:
        check_valid(each[None], each.shape, 100)
    grids = [grid(tuple(each.shape), int(each.max()) + 1) for each in maps]
    assert all(len(np.unique(cells)) > each.max() for cells, each in zip(grids, maps, strict=True))
    assert scores(maps, labelled_slices, "boundary_recall") > scores(grids, labelled_slices, "boundary_recall") + 0.15
    assert scores(maps, labelled_slices, "achievable_accuracy") > scores(grids, labelled_slices, "achievable_accuracy")


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_torch_backend_is_as_good_as_scikit_image_on_real_hearts(share, labelled_slices):
    """Against scikit-image's own smallest segment, half a cell, and against the quarter that the torch backend has."""
    own = [batched_slic(torch.from_numpy(image)[None])[0] for image, _ in labelled_slices]
    theirs = [
        slic(np.moveaxis(np.repeat(image, 3, axis=0), 0, -1), 100, 10.0, start_label=0, min_size_factor=share)
        for image, _ in labelled_slices
    ]
    for name, margin in (("achievable_accuracy", 0.01), ("boundary_recall", 0.03)):
        assert scores(own, labelled_slices, name) > scores(theirs, labelled_slices, name) - margin
    if share == 0.25:
        numbers = [scores(maps, labelled_slices, "segments") for maps in (own, theirs)]
        assert abs(numbers[0] - numbers[1]) < 10
