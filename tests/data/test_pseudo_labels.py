# SPDX-License-Identifier: Apache-2.0
"""Labelled slices, and those that join them with predicted labels."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from monai_cl_ext.data import SliceDataset, find_cases, volume_transform, write_phantom
from monai_cl_ext.data.pseudo_labels import PseudoLabelledSlices


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> list[dict]:
    folder: Path = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, patients=3, seed=0)
    return find_cases(folder)


def slices(cases: list[dict], label: bool, size: int = 16) -> SliceDataset:
    keys = ("image", "label", "patient") if label else ("image", "patient")
    data = [{key: case[key] for key in keys} for case in cases]
    return SliceDataset(data, volume_transform(image_size=(size, size), pixdim=(8.0, 8.0)), progress=False)


@pytest.mark.parametrize("label", [False, True])
def test_unlabelled_slices_join_once_they_have_labels(label, cases):
    labelled, unlabelled = slices(cases[:1], True), slices(cases[1:], label)
    dataset = PseudoLabelledSlices(labelled, unlabelled)
    assert len(dataset) == len(labelled)
    assert dataset.patients == [case["patient"] for case in cases] and len(dataset.files) == 3
    predicted = torch.randint(4, (len(unlabelled), 1, 16, 16), dtype=torch.uint8)
    dataset.give_labels(predicted)
    assert len(dataset) == len(labelled) + len(unlabelled)
    batch = next(iter(DataLoader(dataset, len(dataset))))
    assert torch.equal(batch["label"][len(labelled) :], predicted)
    for index, part in ((0, labelled), (len(labelled), unlabelled)):
        assert torch.equal(batch["image"][index], part[0]["image"])
    assert torch.equal(batch["label"][0], labelled[0]["label"])
    assert batch["volume"].unique().tolist() == [0, 1, 2]
    dataset.give_labels(torch.zeros_like(predicted).long())
    assert dataset[len(labelled)]["label"].dtype == torch.uint8 and not dataset.label.any()


def test_the_state_is_the_labels(cases):
    dataset, other = (PseudoLabelledSlices(slices(cases[:1], True), slices(cases[1:], False)) for _ in range(2))
    other.load_state_dict(dataset.state_dict())
    assert len(other) == len(other.labelled)
    dataset.give_labels(torch.ones(len(dataset.unlabelled), 1, 16, 16, dtype=torch.uint8))
    other.load_state_dict(dataset.state_dict())
    assert len(other) == len(dataset) and other.label.all()


def test_what_does_not_fit_is_refused(cases):
    with pytest.raises(ValueError, match=r"unlabelled slices are \(1, 24, 24\).*, labelled ones \(1, 16, 16\)"):
        PseudoLabelledSlices(slices(cases[:1], True), slices(cases[1:], False, 24))
    dataset = PseudoLabelledSlices(slices(cases[:1], True), slices(cases[1:], False))
    with pytest.raises(ValueError, match=r"one a slice, found \(2, 1, 16, 16\)"):
        dataset.give_labels(torch.zeros(2, 1, 16, 16))
