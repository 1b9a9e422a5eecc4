# SPDX-License-Identifier: Apache-2.0
"""A picture is read right whatever kind it is, or refused by its name."""

import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin, TiffImagePlugin

from monai_cl_ext.data import LoadCased, PictureDataset, SliceDataset, find_pictures, picture_files, volume_transform
from monai_cl_ext.data.picture_dataset import read_picture
from monai_cl_ext.view_report.sample import read_sample

GENERATOR = np.random.default_rng(0)
COLORS = np.kron(GENERATOR.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
DEEP = (np.add.outer(np.arange(32), np.arange(32)) * 60 + 300).astype(np.uint16)  # 300 ... 4020
EXIF = Image.Exif()
EXIF[274] = 6  # turn right to see it upright


def saved(path, values, mode=None, **options):
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return str(path)


def volume(file, **options):
    return LoadCased("image", **options)({"image": file})["image"]


def tiff(path, values, order="<", **tags):
    """A TIFF of one strip; SampleFormat, PhotometricInterpretation and Compression as given."""
    content = values.astype(values.dtype.newbyteorder(order)).tobytes()
    content = zlib.compress(content) if tags.get("compression") == 8 else content
    fields = {256: values.shape[1], 257: values.shape[0], 258: values.itemsize * 8, 259: tags.get("compression", 1),
              262: tags.get("white", 1), 273: 8, 277: 1, 278: values.shape[0], 279: len(content),
              339: tags.get("kind", 1)}  # fmt: skip
    content += bytes(len(content) % 2)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in fields.items())
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(content))
    path.write_bytes(head + content + struct.pack(f"{order}H", len(fields)) + entries + bytes(4))
    return str(path)


# formats


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".bmp", ".jpg"])
def test_every_format_gives_the_colors(suffix, tmp_path):
    (tmp_path / "a").mkdir()
    file = saved(tmp_path / "a" / f"x{suffix}", COLORS, **({"lossless": True} if suffix == ".webp" else {}))
    (case,) = find_pictures(tmp_path)
    assert case["patient"] == "a/x"
    close = 12 if suffix == ".jpg" else 0
    image = PictureDataset([case], 32)[0]["image"]
    assert (image * 255 - torch.from_numpy(COLORS).movedim(2, 0)).abs().mean() <= close
    found = volume(file, color=True)[..., 0].numpy()
    assert np.abs(found - COLORS.transpose(2, 1, 0)).mean() <= close


def test_what_the_file_holds_counts_and_not_its_suffix(tmp_path):
    file = saved(tmp_path / "a.jpg", COLORS, format="PNG")
    assert torch.equal(read_picture(file, 32), torch.from_numpy(COLORS).movedim(2, 0))


@pytest.mark.parametrize("mode, suffix", [("RGBA", ".png"), ("P", ".png"), ("CMYK", ".tif"), ("RGBA", ".webp")])
def test_colors_of_other_modes_are_those_of_rgb(mode, suffix, tmp_path):
    picture = Image.fromarray(COLORS)
    picture = picture.quantize(256) if mode == "P" else picture.convert(mode)
    file = saved(tmp_path / f"a{suffix}", picture, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.abs(read_picture(file, 32).movedim(0, 2).numpy().astype(int) - COLORS).max() <= 2


def test_transparency_is_left_out_and_its_colors_stay(tmp_path):
    clear = np.dstack([COLORS, np.zeros((32, 32), np.uint8)])
    assert torch.equal(read_picture(saved(tmp_path / "a.png", clear), 32), torch.from_numpy(COLORS).movedim(2, 0))


@pytest.mark.parametrize("kind", ["16 bits", "16 bits, big-endian", "32 bits", "float"])
def test_deep_pictures_are_scaled_for_training_and_kept_as_volumes(kind, tmp_path):
    values = {"32 bits": DEEP.astype(np.int32) * 50, "float": DEEP.astype(np.float32) / 5000 - 0.5}.get(kind, DEEP)
    file = str(tmp_path / "a.tif")
    if kind.endswith("endian"):
        Image.frombytes("I;16B", (32, 32), values.astype(">u2").tobytes()).save(file)
    else:
        saved(file, values)
    for channels in (1, 3):
        with pytest.warns(UserWarning, match=r"1 of 1 pictures have more than 8 bits a pixel, such as .*a\.tif"):
            image = PictureDataset([{"image": file, "patient": "p"}], 32, channels)[0]["image"]
        expected = (values - values.min()) / float(values.max() - values.min())
        np.testing.assert_allclose(image, np.broadcast_to(expected, (channels, 32, 32)), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(volume(file)[0, :, :, 0], values.T)
    np.testing.assert_array_equal(volume(file, color=True)[..., 0], np.stack([values.T] * 3))


def test_a_deep_picture_of_one_value_is_black_and_eight_bits_are_not_scaled(tmp_path):
    assert read_picture(saved(tmp_path / "a.png", np.full((8, 8), 5000, np.uint16)), 8).unique().tolist() == [0]
    file = saved(tmp_path / "b.png", np.full((8, 8), 50, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (PictureDataset([{"image": file, "patient": "p"}], 8)[0]["image"] * 255).unique().tolist() == [50]


def test_nan_is_refused(tmp_path):
    values = DEEP.astype(np.float32)
    values[3, 4] = np.nan
    with pytest.raises(ValueError, match=r"a\.tif: pixels are NaN or infinite"):
        read_picture(saved(tmp_path / "a.tif", values), 8)


def test_a_photograph_with_a_preview_is_read_without_it(tmp_path):
    preview = Image.fromarray(255 - COLORS)
    file = saved(tmp_path / "a.jpg", COLORS, format="MPO", save_all=True, append_images=[preview], quality=95)
    assert np.abs(read_picture(file, 32).movedim(0, 2).numpy().astype(int) - COLORS).mean() < 12


def test_transparency_of_a_palette_is_left_out_in_silence(tmp_path):
    picture = Image.fromarray(COLORS).quantize(256)
    file = saved(tmp_path / "a.png", picture, transparency=bytes(128))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(read_picture(file, 32).movedim(0, 2).numpy().astype(int) - COLORS).max() <= 2
        assert volume(file).shape == (1, 32, 32, 1)


# orientation


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_picture_is_turned_as_its_exif_says(suffix, tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 200  # left half, which is the upper one after a turn to the right
    file = saved(tmp_path / f"a{suffix}", pixels, exif=EXIF)
    found = volume(file)[0, :, :, 0].T.numpy()
    assert found.shape == (32, 16) and found[:14].min() > 150 and found[18:].max() < 50
    square = read_picture(file, 16, 1)[0]
    assert square[:6].min() > 150 and square[10:].max() < 50
    assert picture_files.orientation_of(file) == 6


def test_a_mask_is_turned_by_its_own_exif_and_a_missing_one_is_warned_of(tmp_path):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:, :8] = 1
    case = {"image": saved(tmp_path / "a.png", pixels * 200, exif=EXIF), "label": saved(tmp_path / "m.png", pixels)}
    with pytest.warns(UserWarning, match=r"m\.png: has no EXIF orientation, but its image .*a\.png has 6"):
        LoadCased()(case)
    case["label"] = saved(tmp_path / "m.png", pixels, exif=EXIF)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = LoadCased()(case)
    assert torch.equal(loaded["image"].as_tensor(), loaded["label"].as_tensor() * 200)


def test_exif_that_cannot_be_read_turns_nothing(tmp_path):
    file = saved(tmp_path / "a.png", COLORS, exif=b"Exif\0\0no exif at all")
    assert read_picture(file, 32).shape == (3, 32, 32)


# masks


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16"])
def test_masks_without_colors_are_read_as_numbers(mode, tmp_path):
    numbers = (np.arange(64, dtype=np.uint8) % 3).reshape(8, 8)
    picture = Image.fromarray(numbers)
    if mode == "P":
        picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    else:
        picture = Image.fromarray(numbers.astype(np.uint16)) if mode == "I;16" else picture.convert(mode)
    case = {"image": saved(tmp_path / "a.png", COLORS[:8, :8]), "label": saved(tmp_path / "m.png", picture)}
    np.testing.assert_array_equal(LoadCased()(case)["label"][0, :, :, 0], numbers.T)


@pytest.mark.parametrize("kind, expected", [("colors", "a mask with colors"), ("clear", "a mask with transparent"),
                                            ("cmyk", "a mask with colors")])  # fmt: skip
def test_masks_with_colors_are_refused(kind, expected, tmp_path):
    masks = {"colors": Image.fromarray(COLORS), "cmyk": Image.fromarray(COLORS).convert("CMYK"),
             "clear": Image.fromarray(np.dstack([np.zeros_like(COLORS), COLORS[..., 0]]))}  # fmt: skip
    case = {"image": saved(tmp_path / "a.png", COLORS), "label": saved(tmp_path / "m.tif", masks[kind])}
    with pytest.raises(ValueError, match=rf"m\.tif: {expected}.*in PNG"):
        LoadCased()(case)


def test_a_mask_in_jpeg_is_warned_of_unless_its_values_are_checked(tmp_path):
    mask = np.kron([[0, 255], [255, 0]], np.ones((8, 8))).astype(np.uint8)
    case = {"image": saved(tmp_path / "a.png", mask), "label": saved(tmp_path / "m.jpg", mask, quality=100)}
    with pytest.warns(UserWarning, match=r"m\.jpg: a mask in JPEG"):
        LoadCased()(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LoadCased(label_values=[0, 255])(case)["label"].unique().tolist() == [0, 1]


# refused by name


def with_chunk(file, kind, body):
    raw = Path(file).read_bytes()
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return raw[:33] + chunk + raw[33:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_sound_png_with_large_metadata_is_read(kind, tmp_path):
    packed = zlib.compress(bytes(3_000_000))
    body = {b"zTXt": b"Comment\0\0", b"iCCP": b"Profile\0\0", b"iTXt": b"Comment\0\1\0\0\0"}[kind] + packed
    file = tmp_path / "a.png"
    file.write_bytes(with_chunk(saved(file, COLORS), kind, body))
    with pytest.raises(ValueError, match="MAX_TEXT_CHUNK"):
        Image.open(file)
    assert torch.equal(read_picture(str(file), 32), torch.from_numpy(COLORS).movedim(2, 0))
    assert volume(str(file)).shape == (1, 32, 32, 1)
    assert PngImagePlugin.MAX_TEXT_CHUNK == 2**20


def animation(path):
    pages = [Image.fromarray(COLORS), Image.fromarray(255 - COLORS)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def deep_colors(path):
    """16 bits a channel."""
    rows = b"".join(b"\0" + np.repeat(row[:, None], 3, 1).astype(">u2").tobytes() for row in DEEP)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
              for kind, body in parts]  # fmt: skip
    path.write_bytes(picture_files.PNG + b"".join(chunks))


def flipped(path):
    content = bytearray(Path(saved(path, GENERATOR.integers(0, 255, (64, 64), np.uint8))).read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    content = Path(saved(path, GENERATOR.integers(0, 255, (64, 64), np.uint8))).read_bytes()
    path.write_bytes(content[: len(content) // 2])


BAD = {
    "animated.png": (animation, "found 2 pages or frames; write each to a file of its own"),
    "animated.webp": (animation, "found 2 pages or frames"),
    "pages.tif": (animation, "found 2 pages or frames"),
    "colors16.png": (deep_colors, "16 bits a channel.*8 bits a channel"),
    "flipped.png": (flipped, "cannot be read as a picture .the checksum of its pixels is wrong"),
    "cut.png": (cut, "cannot be read as a picture"),
    "cut.jpg": (cut, "cannot be read as a picture"),
    "cut.tif": (cut, "cannot be read as a picture"),
    "cut.bmp": (cut, "cannot be read as a picture"),
    "cut.webp": (cut, "cannot be read as a picture"),
    "text.png": (lambda path: path.write_text("no picture"), "none of PNG, JPEG, BMP, TIFF, WebP"),
    "huge.png": (lambda path: Image.new("1", (20000, 10000)).save(path), "too large to be read.*shrink or crop"),
    "white.tif": (lambda path: tiff(path, DEEP, white=0), "white is 0 .MinIsWhite"),
    "signed.tif": (lambda path: tiff(path, COLORS[..., 0], kind=2), "signed numbers of 8 bits"),
    "large.tif": (lambda path: tiff(path, DEEP.astype(np.uint32) << 20), "numbers of 2147483648 or more"),
    "swapped.tif": (lambda path: tiff(path, DEEP.astype(np.float32), ">", kind=3, compression=8), "compressed big"),
    "empty.png": (lambda path: path.touch(), "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_refused_by_name_by_every_reader(name, tmp_path):
    write, expected = BAD[name]
    write(tmp_path / name)
    file = str(tmp_path / name)
    case = {"image": file, "patient": "p"}
    whole = [{"image": saved(tmp_path / f"w{n}.png", COLORS), "patient": f"w{n}"} for n in range(10)]
    readers = {
        "dataset": lambda: PictureDataset([case], 16),
        "picture": lambda: read_picture(file, 16),
        "volume": lambda: LoadCased("image")(case),
        "slices": lambda: SliceDataset([case], volume_transform(("image",)), partitions=1, progress=False),
        "views": lambda: read_sample([*whole, case], 20, 16),
    }
    for reader in readers.values():
        with pytest.raises(ValueError, match=rf"{name}: .*{expected}"):
            reader()


def test_sound_tiffs_of_the_same_making_are_read(tmp_path):
    np.testing.assert_array_equal(volume(tiff(tmp_path / "a.tif", DEEP))[0, :, :, 0], DEEP.T)
    np.testing.assert_array_equal(volume(tiff(tmp_path / "b.tif", COLORS[..., 0]))[0, :, :, 0], COLORS[..., 0].T)
    for order, compression in (("<", 8), (">", 1)):
        file = tiff(tmp_path / "d.tif", DEEP.astype(np.float32), order, kind=3, compression=compression)
        np.testing.assert_array_equal(volume(file)[0, :, :, 0], DEEP.T)
    signed = -DEEP.astype(np.int32)
    np.testing.assert_array_equal(volume(tiff(tmp_path / "c.tif", signed, kind=2))[0, :, :, 0], signed.T)
    assert TiffImagePlugin.SAMPLEFORMAT == picture_files.SAMPLE_FORMAT


def test_a_strip_is_refused_and_a_small_picture_is_enlarged(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: a strip of 1 x 65000 pixels"):
        read_picture(saved(tmp_path / "a.png", np.zeros((65000, 1), np.uint8)), 64)
    assert read_picture(saved(tmp_path / "b.png", np.full((1, 1), 7, np.uint8)), 64).unique().tolist() == [7]


def test_the_extra_is_named_where_pillow_is_missing(tmp_path, monkeypatch):
    file = saved(tmp_path / "a.png", COLORS)
    monkeypatch.setitem(sys.modules, "PIL", None)
    for read in (lambda: read_picture(file, 8), lambda: volume(file)):
        with pytest.raises(ImportError, match=r"a\.png: needs PIL: .*\[pictures\]"):
            read()
