# SPDX-License-Identifier: Apache-2.0
"""Labelled slices together with unlabelled ones that a network has labelled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .slices import SliceDataset


class PseudoLabelledSlices(Dataset[dict[str, Any]]):
    """The labelled slices; once the others were given labels, these follow them.

    Args:
        labelled: slices with "label".
        unlabelled: slices of other volumes; a label that they have is not shown.

    Raises:
        ValueError: when the two differ in the size of their slices.
    """

    def __init__(self, labelled: SliceDataset, unlabelled: SliceDataset) -> None:
        found, expected = (tuple(part[0]["image"].shape) for part in (unlabelled, labelled))
        if found != expected:
            raise ValueError(f"unlabelled slices are {found} (C, H, W), labelled ones {expected}: prepare both alike")
        self.labelled = labelled
        self.unlabelled = unlabelled
        self.files = [*labelled.files, *unlabelled.files]
        self.patients = [*labelled.patients, *unlabelled.patients]
        self.label = torch.empty(0, 1, *expected[1:], dtype=torch.uint8)

    def __len__(self) -> int:
        """Number of slices that have a label, given or predicted."""
        return len(self.labelled) + len(self.label)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One slice as ``SliceDataset`` gives it, with its label; volumes are counted on over both parts."""
        if index < len(self.labelled):
            return self.labelled[index]
        index -= len(self.labelled)
        item = self.unlabelled[index]
        return {**item, "label": self.label[index].clone(), "volume": item["volume"] + len(self.labelled.files)}

    def give_labels(self, label: Tensor) -> None:
        """Takes class indices (slices, 1, H, W) for all unlabelled slices, in their order, in place of earlier ones.

        Raises:
            ValueError: when they do not fit the slices.
        """
        expected = (len(self.unlabelled), *self.label.shape[1:])
        if tuple(label.shape) != expected:
            raise ValueError(f"labels must have the shape {expected}, one a slice, found {tuple(label.shape)}")
        self.label = label.to("cpu", torch.uint8)

    def state_dict(self) -> dict[str, Tensor]:
        """The predicted labels, without rows before there are any."""
        return {"label": self.label}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes the labels of a ``state_dict``."""
        if len(state["label"]):
            self.give_labels(state["label"])
