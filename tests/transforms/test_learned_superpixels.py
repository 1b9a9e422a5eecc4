# SPDX-License-Identifier: Apache-2.0
"""Superpixels by networks: valid maps, their weights, and maps in a store that follow the weights."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy import ndimage

from monai_cl_ext.data import SliceDataset, volume_transform, write_phantom
from monai_cl_ext.data.store.settings import described
from monai_cl_ext.fingerprint import fingerprint
from monai_cl_ext.networks import LNSNet, SuperpixelFCN
from monai_cl_ext.transforms import Superpixel, Superpixeld
from monai_cl_ext.transforms.superpixels import lnsnet_backend
from monai_cl_ext.transforms.superpixels.backends import BACKENDS
from monai_cl_ext.transforms.superpixels.color_place import color_and_place, color_channels
from monai_cl_ext.transforms.superpixels.fcn_backend import cell_labels
from monai_cl_ext.transforms.superpixels.weights import save_weights, settings_of

NETWORKS = {"lnsnet": LNSNet, "superpixel_fcn": SuperpixelFCN}
COMMAND = "python -m monai_cl_ext superpixels train DIR"
each_backend = pytest.mark.parametrize("backend", NETWORKS)


def weights_of(backend, folder, seed=0, name="weights.pt", own_cell=2.0):
    """A file of weights that nobody has trained; SuperpixelFCN's keep most pixels in their own cell."""
    torch.manual_seed(seed)
    network = NETWORKS[backend]()
    if backend == "superpixel_fcn":
        with torch.no_grad():
            network.output[0].bias[4] += own_cell
    save_weights(folder / name, backend, {"seed": seed}, network)
    return folder / name


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return {name: weights_of(name, tmp_path_factory.mktemp(name)) for name in NETWORKS}


def blobs(*shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(values, (0, *[3.0] * (len(shape) - 1))).astype(np.float32)


def check_valid(labels, size):
    assert labels.shape == (1, *size) and labels.dtype == torch.int32
    found = labels[0].numpy()
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert all(ndimage.label(found == label)[1] == 1 for label in range(found.max() + 1))


def test_both_are_backends():
    assert {name for name, each in BACKENDS.items() if each.network} == set(NETWORKS)


@each_backend
@pytest.mark.parametrize("shape", [(1, 64, 48), (3, 51, 37), (1, 20, 90)])
def test_maps_are_connected_numbered_and_come_out_the_same(backend, shape, weights):
    image, transform = blobs(*shape), Superpixel(20, backend=backend, weights=weights[backend])
    found = transform(image)
    check_valid(found, shape[1:])
    assert found.max() > 3
    sizes = found.unique(return_counts=True)[1]
    assert sizes.min() >= round(0.06 * sizes.sum().item() / 30)  # of 20 segments, as far as a grid can have them
    assert torch.equal(transform(torch.from_numpy(image).double()), found)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(image), found)
    assert torch.equal(transform(image * 8 + 4), found)


@each_backend
def test_images_are_metatensors_too(backend, weights):
    image = MetaTensor(blobs(1, 40, 33), affine=torch.diag(torch.tensor([2.0, 3, 1, 1])))
    item = Superpixeld("image", 12, backend=backend, weights=str(weights[backend]))({"image": image})
    assert isinstance(item["superpixel"], MetaTensor) and torch.equal(item["superpixel"].affine, image.affine)
    assert torch.equal(item["superpixel"].as_tensor(), Superpixel(12, 10, backend, weights[backend])(image.as_tensor()))


@pytest.mark.gpu
@each_backend
def test_maps_are_made_on_the_images_device(backend, weights):
    image = torch.from_numpy(blobs(1, 64, 64))
    transform = Superpixel(16, backend=backend, weights=weights[backend])
    found = transform(image.cuda())
    assert found.is_cuda
    check_valid(found.cpu(), (64, 64))
    assert torch.equal(transform(image), Superpixel(16, backend=backend, weights=weights[backend])(image))


@each_backend
def test_volumes_and_other_channels_are_refused(backend, weights):
    transform = Superpixel(8, backend=backend, weights=weights[backend])
    with pytest.raises(ValueError, match=f"backend '{backend}' works on 2D images"):
        transform(blobs(1, 16, 16, 16))
    with pytest.raises(ValueError, match="1 or 3 channels, found"):
        transform(blobs(2, 16, 16))


@each_backend
def test_a_constant_image_is_cut_into_pieces(backend, weights):
    found = Superpixel(16, backend=backend, weights=weights[backend])(np.full((1, 64, 64), 3, np.int16))
    check_valid(found, (64, 64))
    assert found.max() > 3


def test_a_pixel_joins_the_cell_of_its_largest_probability_and_at_the_border_the_last_one():
    probabilities = torch.rand(2, 9, 32, 48, generator=torch.Generator().manual_seed(0))
    found = cell_labels(probabilities)
    for image, row, column in np.ndindex(2, 32, 48):
        choice = int(probabilities[image, :, row, column].argmax())
        cell = (min(max(row // 16 + choice // 3 - 1, 0), 1), min(max(column // 16 + choice % 3 - 1, 0), 2))
        assert found[image, row, column] == cell[0] * 3 + cell[1]


def test_superpixel_fcn_gives_the_grid_where_every_pixel_keeps_to_its_cell(tmp_path):
    network = SuperpixelFCN()
    with torch.no_grad():
        network.output[0].weight.zero_()
        network.output[0].bias[4] = 1
    save_weights(tmp_path / "grid.pt", "superpixel_fcn", {}, network)
    found = Superpixel(12, backend="superpixel_fcn", weights=tmp_path / "grid.pt")(blobs(1, 30, 40))[0]
    rows, columns = torch.arange(30) // 10, torch.arange(40) // 10
    assert torch.equal(found, (rows[:, None] * 4 + columns).int())


def test_lnsnet_labels_are_those_of_the_nearest_seed_of_all(tmp_path, monkeypatch):
    """Before small and separate parts are seen to."""
    file = weights_of("lnsnet", tmp_path)
    image = torch.from_numpy(blobs(1, 24, 24))
    network = LNSNet()
    network.load_state_dict(torch.load(file, weights_only=True)["state_dict"])
    features = network(color_and_place(color_channels(image[None])))[0].detach().double()
    seeds = [(6, 6), (6, 18), (18, 6), (18, 18)]
    expected = torch.zeros(24, 24, dtype=torch.int64)
    for row, column in np.ndindex(24, 24):
        apart = [float((features[:, row, column] - features[:, y, x]).square().sum()) for y, x in seeds]
        expected[row, column] = min(range(4), key=lambda k: apart[k])
    seen, real = [], lnsnet_backend.learned_segments
    monkeypatch.setattr(
        lnsnet_backend, "learned_segments", lambda labels, *given: seen.append(labels) or real(labels, *given)
    )
    Superpixel(4, backend="lnsnet", weights=file)(image)
    assert (seen[0] == expected).float().mean() > 0.995  # but for what float32 cannot tell apart


def test_color_and_place_are_standardized_and_gray_has_no_color():
    images = torch.from_numpy(blobs(2, 9, 7))[:, None]
    color = color_channels(images)
    assert color.shape == (2, 3, 9, 7) and not color[:, 1:].any() and color[:, 0].amax() == 100
    found = color_and_place(color)
    assert torch.allclose(found.mean((2, 3)), torch.zeros(2, 5), atol=1e-5)
    assert torch.allclose(found.std((2, 3), unbiased=False), torch.tensor([1.0, 0, 0, 1, 1]).expand(2, -1), atol=1e-4)
    row, column = found[0, 3], found[0, 4]
    assert (row.diff(dim=0) > 0).all() and not row.diff(dim=1).any() and (column.diff(dim=1) > 0).all()
    assert color_channels(torch.rand(1, 3, 5, 5))[:, 1:].abs().sum() > 0


@each_backend
def test_weights_that_are_missing_or_do_not_fit_are_refused_with_the_command(backend, weights, tmp_path):
    other = next(name for name in NETWORKS if name != backend)
    told = rf"{COMMAND} --backend {backend} --output FILE"
    with pytest.raises(ValueError, match=f"needs a file of them, found none; .*{told}"):
        Superpixel(backend=backend)
    with pytest.raises(ValueError, match=f"expected a file, found none; .*{told}"):
        Superpixeld("image", backend=backend, weights=tmp_path / "nowhere.pt")
    with pytest.raises(ValueError, match=f"those of backend '{backend}', found those of '{other}'.*{told}"):
        Superpixel(backend=backend, weights=weights[other])
    content = torch.load(weights[backend], weights_only=True)
    content["state_dict"].popitem()
    torch.save(content, tmp_path / "less.pt")
    with pytest.raises(ValueError, match=f"expected the tensors of {NETWORKS[backend].__name__}.*{told}"):
        Superpixel(backend=backend, weights=tmp_path / "less.pt")


def test_other_files_and_weights_for_other_backends_are_refused(weights, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="expected what python -m monai_cl_ext superpixels train writes"):
        Superpixel(backend="lnsnet", weights=tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(ValueError, match=r"text\.pt: cannot be read as a checkpoint"):
        Superpixel(backend="lnsnet", weights=tmp_path / "text.pt")
    with pytest.raises(ValueError, match=rf"'torch' takes none, .*'lnsnet'.*{COMMAND} --backend BACKEND"):
        Superpixel(backend="torch", weights=weights["lnsnet"])
    assert settings_of(weights["lnsnet"]) == {"backend": "lnsnet", "seed": 0}


@each_backend
def test_weights_are_known_by_their_content(backend, tmp_path):
    first, again, other = (
        Superpixel(8, backend=backend, weights=weights_of(backend, tmp_path, seed, f"{number}.pt"))
        for number, seed in enumerate((0, 0, 1))
    )
    assert described(first) == described(again) != described(other)
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert f"monai_cl_ext.networks.backbones.{backend}" in described(first)["code"]  # of the network
    assert len(str(fingerprint(first))) < 300


@each_backend
def test_weights_for_another_number_of_segments_are_warned_of(backend, tmp_path):
    save_weights(tmp_path / "weights.pt", backend, {"n_segments": 60}, NETWORKS[backend]())
    with pytest.warns(UserWarning, match="weights.pt: trained for n_segments 60, found 100"):
        Superpixel(backend=backend, weights=tmp_path / "weights.pt")


@each_backend
def test_images_of_another_kind_than_weights_were_trained_on_are_warned_of(backend, tmp_path):
    told = {"n_segments": 9, "color": False, "image_size": [40, 32], "pixdim": 2.0}
    save_weights(tmp_path / "weights.pt", backend, told, NETWORKS[backend]())
    superpixels = Superpixel(9, backend=backend, weights=tmp_path / "weights.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        superpixels(torch.rand(1, 40, 32))
    with pytest.warns(
        UserWarning, match=r"trained on images of {'channels': 1, 'image_size': \(40, 32\)}, found {'ch.* 3"
    ):
        superpixels(torch.rand(3, 48, 32))


@each_backend
def test_other_weights_in_the_same_file_give_other_maps_in_a_store(backend, tmp_path):
    write_phantom(tmp_path / "data", patients=1, seed=0)
    (image,) = (tmp_path / "data" / "imagesTr").iterdir()

    def maps(seed, store):
        superpixels = Superpixel(8, backend=backend, weights=weights_of(backend, tmp_path, seed, own_cell=0.0))
        slices = SliceDataset(
            [{"image": str(image)}], volume_transform(image_size=32, pixdim=6.0), superpixels=superpixels, store=store,
            progress=False,
        )  # fmt: skip
        return torch.stack([slices[number]["superpixel"] for number in range(len(slices))])

    first, other = maps(0, tmp_path / "store"), maps(1, tmp_path / "store")
    assert not torch.equal(first, other)
    assert torch.equal(other, maps(1, None)) and torch.equal(first, maps(0, tmp_path / "store"))
    assert len(list((tmp_path / "store").glob("*/*/superpixel_*.npy"))) == 2
