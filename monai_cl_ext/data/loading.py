# SPDX-License-Identifier: Apache-2.0
"""Loads a case: NIfTI, a DICOM series, a picture or a folder of pictures, with its label on the same grid."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import LoadImage, MapTransform
from torch import Tensor

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.data.alignment import on_image_grid
from monai_cl_ext.data.class_numbers import whole_classes
from monai_cl_ext.data.dicom import is_dicom, read_series
from monai_cl_ext.data.file_names import VOLUMES, files_of
from monai_cl_ext.data.intensities import check_intensities
from monai_cl_ext.data.nifti import CheckedNibabelReader
from monai_cl_ext.data.opening import open_file
from monai_cl_ext.data.picture_volumes import (
    color_of,
    exact_numbers_of,
    gray_of,
    numbers_of,
    pictures_of,
    read_pictures,
    warn_of_orientation,
)
from monai_cl_ext.data.volume_meta import as_volume


class LoadCased(MapTransform):
    """Loads the image of a case and its labels as volumes (C, *three axes) float32.

    - NIfTI, by :func:`~monai_cl_ext.data.nifti.read_nifti`, as ``monai.transforms.LoadImaged`` loads it with
      ``ensure_channel_first=True``.
    - A folder of DICOM files, or one file, by pydicom: one series, its slices in the order of their positions, as
      :func:`~monai_cl_ext.data.dicom.read_series` tells.
    - A PNG, JPEG, BMP, TIFF or WebP picture, upright as its EXIF orientation says: a volume of one slice, (C, W, H, 1),
      with the numbers of the file, also where they have 16 bits or are float. A folder of pictures: a slice each, in
      the order of their names.
    - Everything else as ``LoadImaged`` loads it.

    A label lies on the grid of its image, see :func:`~monai_cl_ext.data.alignment.on_image_grid`, and has whole class
    numbers, see :func:`~monai_cl_ext.data.class_numbers.whole_classes`. Images are finite; one with nearly one
    intensity, in a channel or in all, is warned of. A label of pictures takes the image's affine. Of a DICOM series,
    the picture that is the i-th by name belongs to the DICOM file that is the i-th by name; a label may be a DICOM
    series, too.

    Args:
        keys: the image first; the others are labels.
        label_values: gray value of each class in the files, the background's first, such as [0, 63, 126, 189, 252];
            None takes the values as class numbers.
        color: gives pictures three channels, red, green and blue; otherwise they become gray.
        channels: of the image, as the network takes them, in one file (the fourth axis of NIfTI) or in a list of files;
            None takes any number.
        num_classes: of the labels, background included; None allows the classes 0 to 255.
        allow_missing_keys: leave out keys that a case does not have.

    Raises:
        FileNotFoundError, PermissionError: when a file is absent or may not be read.
        ValueError: when a file is damaged, files do not make one volume, the image has other channels than asked for,
            or a label does not fit. Every message names the file and a remedy.
        ImportError: when a package for them is missing; the message names the extra that brings it.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        label_values: Sequence[float] | None = None,
        color: bool = False,
        allow_missing_keys: bool = False,
        channels: int | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if label_values is not None and (not label_values or len(set(label_values)) < len(label_values)):
            raise ValueError(f"label_values must name each class's gray value once, found {label_values!r}")
        self.label_values = label_values
        self.color = color
        self.channels = None if channels is None else positive_integer("channels", channels)
        self.num_classes = None if num_classes is None else positive_integer("num_classes", num_classes)
        with warnings.catch_warnings(), _quiet(logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")):
            # MONAI 1.6 makes all its readers and, with pydicom, tells twice of a GPU decoder that it lacks.
            warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
            self.load = LoadImage(image_only=True, ensure_channel_first=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The case with volumes in place of paths."""
        case = dict(data)
        image, order = None, None
        for key in self.key_iterator(case):
            path = data[key]
            if key == self.keys[0]:
                image, order = self._image(path)
                _check_channels(image, path, self.channels)
                values = image.as_tensor()  # colors are one picture
                check_intensities(values.flatten(0, 1)[None] if self.color else values, files_of(path)[0])
                case[key] = image
            else:
                label = self._label(path, order)
                case[key] = label if image is None else self._beside(image, label, data[self.keys[0]], path)
        return case

    def _image(self, path: Any) -> tuple[MetaTensor, list[int] | None]:
        """The image, and of a series the place of each slice among the names of its files."""
        pictures = pictures_of(path)
        if pictures:
            return read_pictures(pictures, path, color_of if self.color else gray_of), None
        return read_series(Path(path).expanduser()) if _may_be_dicom(path) else (self._file(path), None)

    def _file(self, path: Any) -> MetaTensor:
        """Of NIfTI, or of another format that MONAI reads."""
        paths = [path] if isinstance(path, (str, Path)) else list(path)
        if all(map(_named_nifti, paths)):
            return self.load(path, reader=CheckedNibabelReader())  # a fresh one: it keeps names, and threads load
        for name in paths:
            open_file(name).close()
            if len(paths) > 1 and is_dicom(name):
                raise ValueError(
                    f"{name}: a DICOM file in a list of {len(paths)}; give the folder of the series instead"
                )
        try:
            return self.load(path)
        except Exception as error:  # each of MONAI's readers has its own
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise ValueError(
                f"{path}: cannot be read as an image ({reason}); give .nii or .nii.gz files, pictures, or folders of "
                "DICOM files"
            ) from error

    def _label(self, path: Any, order: list[int] | None) -> MetaTensor:
        """The label with whole class numbers."""
        pictures = pictures_of(path)
        if not pictures:
            dicom = _may_be_dicom(path)
            label = read_series(Path(path).expanduser(), classes=True)[0] if dicom else self._file(path)
        else:
            if order is not None:
                if len(order) != len(pictures):
                    raise ValueError(
                        f"{path}: found {len(pictures)} picture(s) for {len(order)} slices of the DICOM series; "
                        "give one picture a slice"
                    )
                pictures = [pictures[place] for place in order]
            label = read_pictures(pictures, path, numbers_of if self.label_values else exact_numbers_of)
        if self.channels is not None and (label.ndim != 4 or len(label) != 1):
            raise ValueError(
                f"{path}: expected a label of one channel and three axes, found {len(label)} channel(s) and the axes "
                f"{tuple(label.shape[1:])}; write the numbers of the classes to one volume"
            )
        given = label.as_tensor()
        values = given if self.label_values is None else _classes(given, self.label_values, path)
        classes = whole_classes(values, path, self.num_classes)
        return label if classes is given else MetaTensor(classes, meta=label.meta)

    def _beside(self, image: MetaTensor, label: MetaTensor, image_path: Any, label_path: Any) -> MetaTensor:
        """The label on the grid of the image; pictures have no place in the world."""
        masks = pictures_of(label_path)
        if not (masks or pictures_of(image_path)):
            return on_image_grid(label, image, label_path, image_path)
        warn_of_orientation(image_path, masks)
        refuse_other_shape(label.shape, image.shape, label_path, image_path)
        return as_volume(label.as_tensor(), label_path, image.affine)


def _check_channels(image: Tensor, path: Any, expected: int | None) -> None:
    """Refuses an image that has other channels than the network, or other than three axes."""
    if expected is None:
        return
    if image.ndim != 4:
        raise ValueError(
            f"{path}: expected a volume of three axes, found {tuple(image.shape[1:])}; write each time point to a file "
            "of its own"
        )
    if len(image) != expected:
        files = " and ".join(files_of(path))
        named = f", name files of one channel each _0000 to _{expected - 1:04d}" if expected > 1 else ""
        raise ValueError(
            f"{files}: found {len(image)} channel(s), expected {expected}; give --in_channels {len(image)} to every "
            f"stage where all volumes have as many{named}, and write time points to files of their own"
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keeps a logger silent meanwhile."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def refuse_other_shape(found: Sequence[int], expected: Sequence[int], label: Any, image: Any) -> None:
    """Refuses a label whose shape (C, *axes), ``found``, has other axes than its image's."""
    if tuple(found[1:]) != tuple(expected[1:]):
        raise ValueError(
            f"{label}: label of shape {tuple(found[1:])}, but its image {image} has {tuple(expected[1:])}; give the "
            "label that belongs to the image"
        )


def is_picture(path: Any) -> bool:
    """Whether a path is a picture or a folder of pictures."""
    return bool(pictures_of(path))


def _named_nifti(path: Any) -> bool:
    return str(path).lower().endswith(VOLUMES)


def _may_be_dicom(path: Any) -> bool:
    if not isinstance(path, (str, Path)) or _named_nifti(path):
        return False
    place = Path(path).expanduser()
    return place.is_dir() or is_dicom(place)


def _classes(label: Tensor, values: Sequence[float], path: Any) -> Tensor:
    """Class numbers in place of the gray values of a file."""
    classes, known = torch.zeros_like(label), torch.zeros_like(label, dtype=torch.bool)
    for number, value in enumerate(values):
        here = label == value
        classes[here] = number
        known |= here
    if not known.all():
        others = [f"{value:g}" for value in label[~known].unique().tolist()]
        raise ValueError(
            f"{path}: found {len(others)} value(s) that label_values {list(values)!r} does not name, such as "
            f"{', '.join(others[:3])}; name all, and keep masks in a format without loss"
        )
    return classes
