# SPDX-License-Identifier: Apache-2.0
"""Loads a case: NIfTI, a DICOM series, a picture or a folder of pictures, with its label on the same grid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, PILReader, PydicomReader
from monai.transforms import LoadImage, MapTransform
from monai.utils import OptionalImportError
from torch import Tensor

from monai_cl_ext.arguments import positive_integer
from monai_cl_ext.data.folders import PICTURES, VOLUMES, files_in, name_order
from monai_cl_ext.data.nifti import CheckedNibabelReader
from monai_cl_ext.data.opening import open_file


class LoadCased(MapTransform):
    """Loads the image of a case and its labels as volumes (C, *three axes) float32.

    - NIfTI, by :func:`~monai_cl_ext.data.nifti.read_nifti`, as ``monai.transforms.LoadImaged`` loads it with
      ``ensure_channel_first=True``.
    - A folder of DICOM files, by MONAI's ``PydicomReader``: one series, its slices in the order of InstanceNumber.
    - A PNG, JPEG or BMP picture, by MONAI's ``PILReader``: a volume of one slice, (C, W, H, 1). A folder of pictures:
      a slice each, in the order of their names.
    - Everything else as ``LoadImaged`` loads it.

    A label of pictures takes the image's affine. Of a DICOM series, the picture that is the i-th by name belongs to the
    DICOM file that is the i-th by name.

    Args:
        keys: the image first; the others are labels.
        label_values: gray value of each class in the files, the background's first, such as [0, 63, 126, 189, 252];
            None takes the values as class numbers.
        color: gives pictures three channels, red, green and blue; otherwise they become gray.
        channels: of the image, as the network takes them; None takes any number.
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
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if label_values is not None and (not label_values or len(set(label_values)) < len(label_values)):
            raise ValueError(f"label_values must name each class's gray value once, found {label_values!r}")
        self.label_values = label_values
        self.color = color
        self.channels = None if channels is None else positive_integer("channels", channels)
        with warnings.catch_warnings():
            # MONAI 1.6 makes all its readers and, with pydicom, warns of each GPU decoder that it lacks.
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
                case[key] = image
                self._check_channels(image, path, self.channels)
            else:
                case[key] = self._label(path, image, order)
                self._check_channels(case[key], path, self.channels and 1)
                if image is not None:
                    refuse_other_shape(case[key].shape, image.shape, path, data[self.keys[0]])
        return case

    def _check_channels(self, volume: Tensor, path: Any, expected: int | None) -> None:
        if expected is not None and (volume.ndim != 4 or len(volume) != expected):
            raise ValueError(
                f"{path}: expected a volume of {expected} channel(s) and three axes, found {len(volume)} channel(s) "
                f"and the axes {tuple(volume.shape[1:])}; write each channel or time point to a file of its own, or "
                "build the network with as many input channels and set channels of LoadCased"
            )

    def _image(self, path: Any) -> tuple[Tensor, list[int] | None]:
        """The image, and of a series the place of each slice among the names of its files."""
        pictures = _pictures(path)
        if pictures:
            return _stacked(pictures, path, _color if self.color else _gray), None
        if isinstance(path, (str, Path)) and Path(path).expanduser().is_dir() and not _named_nifti(path):
            return _series(Path(path).expanduser())
        return self._file(path), None

    def _file(self, path: Any) -> Tensor:
        """Of NIfTI, or of another format that MONAI reads."""
        paths = [path] if isinstance(path, (str, Path)) else list(path)
        if all(map(_named_nifti, paths)):
            return self.load(path, reader=CheckedNibabelReader())  # a fresh one: it keeps names, and threads load
        for name in paths:
            open_file(name).close()
        try:
            return self.load(path)
        except Exception as error:  # each of MONAI's readers has its own
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise ValueError(
                f"{path}: cannot be read as an image ({reason}); give .nii or .nii.gz files, pictures, or folders of "
                "DICOM files"
            ) from error

    def _label(self, path: Any, image: Tensor | None, order: list[int] | None) -> Tensor:
        pictures = _pictures(path)
        if not pictures:
            label = self._file(path)
        else:
            if order is not None:
                if len(order) != len(pictures):
                    raise ValueError(
                        f"{path}: found {len(pictures)} picture(s) for {len(order)} slices of the DICOM series; "
                        "give one picture a slice"
                    )
                pictures = [pictures[place] for place in order]
            label = _stacked(pictures, path, _values)
            if isinstance(image, MetaTensor):
                label = _volume(label.as_tensor(), path, image.affine)
        return label if self.label_values is None else _classes(label, self.label_values, path)


def refuse_other_shape(found: Sequence[int], expected: Sequence[int], label: Any, image: Any) -> None:
    """Refuses a label whose shape (C, *axes), ``found``, has other axes than its image's."""
    if tuple(found[1:]) != tuple(expected[1:]):
        raise ValueError(
            f"{label}: label of shape {tuple(found[1:])}, but its image {image} has {tuple(expected[1:])}; give the "
            "label that belongs to the image"
        )


def is_picture(path: Any) -> bool:
    """Whether a path is a picture or a folder of pictures."""
    return bool(_pictures(path))


def _named_nifti(path: Any) -> bool:
    return str(path).lower().endswith(VOLUMES)


def _pictures(path: Any) -> list[Path]:
    """The pictures that make a volume; none where the path is no picture and no folder of pictures alone."""
    if not isinstance(path, (str, Path)):
        return []
    path = Path(path).expanduser()
    if path.is_dir() and not _named_nifti(path):
        return [] if files_in(path, (".dcm",)) else files_in(path, PICTURES)
    return [path] if path.name.lower().endswith(PICTURES) else []


def _stacked(pictures: list[Path], path: Any, convert: Callable[[Any], Any]) -> MetaTensor:
    """Pictures as the slices of a volume (C, W, H, slices)."""
    try:
        reader = PILReader(converter=convert)
    except OptionalImportError as error:
        raise ImportError(f"{path}: needs the package pillow: pip install 'monai-cl-ext[pictures]'") from error
    slices = [_read_picture(reader, picture) for picture in pictures]
    for picture, found in zip(pictures, slices, strict=True):
        if found.shape != slices[0].shape:
            raise ValueError(
                f"{picture}: a slice of {found.shape[:2]} pixels, but {pictures[0]} has {slices[0].shape[:2]}; "
                "give a folder the pictures of one volume"
            )
    stack = torch.as_tensor(np.stack(slices, axis=2))
    return _volume(stack[None] if stack.ndim == 3 else stack.movedim(-1, 0), path, torch.eye(4))


def _read_picture(reader: PILReader, picture: Path) -> np.ndarray:
    open_file(picture).close()
    try:
        return np.asarray(reader.get_data(reader.read(picture))[0], dtype=np.float32)
    except Exception as error:  # pillow has several
        raise ValueError(f"{picture}: cannot be read as a picture ({error}); check that the file is whole") from error


def _series(folder: Path) -> tuple[MetaTensor, list[int]]:
    """A DICOM series as a volume (1, columns, rows, slices), and the place of each slice among the files' names."""
    try:
        reader = PydicomReader(fname_regex=None)  # a fresh one, since it keeps what it read and threads load volumes
    except OptionalImportError as error:
        raise ImportError(f"{folder}: needs the package pydicom: pip install 'monai-cl-ext[dicom]'") from error
    try:
        found = reader.read(folder)
    except IndexError as error:
        raise ValueError(
            f"{folder}: found no DICOM file and no picture; give the folder that holds a series"
        ) from error
    except Exception as error:  # pydicom has several
        raise _no_series(folder, error) from error
    files = sorted(found if isinstance(found, list) else [found], key=lambda file: name_order(Path(file.filename).name))
    if not all("InstanceNumber" in file for file in files):
        raise ValueError(f"{folder}: a DICOM file lacks InstanceNumber, so its place is not known; add or remove it")
    order = sorted(range(len(files)), key=lambda place: int(files[place].InstanceNumber))
    _check_places([files[place] for place in order], folder)
    try:
        array, meta = reader.get_data(found)
    except Exception as error:
        raise _no_series(folder, error) from error
    if array.ndim != (3 if len(files) > 1 else 2):
        raise ValueError(
            f"{folder}: its DICOM files make an array {array.shape}; give gray ones of a single frame each"
        )
    volume = torch.as_tensor(array.astype(np.float32))
    return _volume(volume.reshape(1, *volume.shape[:2], -1), folder, torch.as_tensor(meta["affine"])), order


def _no_series(folder: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{folder}: cannot be read as a DICOM series ({type(error).__name__}: {error}); check that its files are whole "
        "and that no others lie among them"
    )


def _check_places(files: list[Any], folder: Path) -> None:
    """Refuses a folder of several series or moments: the places of its slices do not run one way."""
    places = np.array([int(file.InstanceNumber) for file in files])
    if all("ImagePositionPatient" in file and "ImageOrientationPatient" in file for file in files):
        along = np.array(files[0].ImageOrientationPatient, dtype=float)
        places = np.array([file.ImagePositionPatient for file in files], dtype=float) @ np.cross(along[:3], along[3:])
    steps = np.diff(places)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(
            f"{folder}: its slices, by InstanceNumber, do not run one way through the body but repeat or turn back; "
            "give each series a folder of its own"
        )


def _volume(values: Tensor, path: Any, affine: Tensor) -> MetaTensor:
    """A volume with the meta data by which MONAI resamples, inverts, names and saves it."""
    meta = {
        "filename_or_obj": str(path),
        "spatial_shape": np.array(values.shape[1:]),
        "original_affine": affine.double().numpy().copy(),
        "original_channel_dim": float("nan"),  # as of NIfTI without one; MONAI 1.6 saves no single slice otherwise
    }
    return MetaTensor(values, affine=affine.double(), meta=meta)


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


def _color(picture: Any) -> Any:
    return picture.convert("RGB")


def _gray(picture: Any) -> Any:
    return picture.convert("L") if picture.mode == "P" or len(picture.getbands()) > 1 else picture


def _values(picture: Any) -> Any:
    """The numbers of a mask, also those of one with a palette."""
    return picture.convert("L") if len(picture.getbands()) > 1 else picture
