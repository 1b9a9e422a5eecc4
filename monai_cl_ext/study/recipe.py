# SPDX-License-Identifier: Apache-2.0
"""What a method of a study is: the bundle that pre-trains, or none, and the bundle that trains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cl_ext.study.bundles import Bundle, find_bundle

SCRATCH = "scratch"
CHAIN = re.compile(r"\s+>\s+")


@dataclass(frozen=True)
class Recipe:
    """A method of a study.

    Attributes:
        pretraining: the bundle whose stages of pre-training are run; None for training from scratch.
        training: the bundle that trains with labels and predicts.
    """

    pretraining: Bundle | None
    training: Bundle

    @property
    def pretrain_stages(self) -> list[str]:
        """Names of the stages of pre-training in their order; none from scratch."""
        return [] if self.pretraining is None else self.pretraining.pretrain_stages

    @property
    def name(self) -> str:
        """As in a study: "supercl_segmentation > bcp_segmentation"."""
        if self.pretraining is None or self.pretraining == self.training:
            return self.training.name
        return f"{self.pretraining.name} > {self.training.name}"


def from_scratch(method: str) -> bool:
    """Whether the text of a method says "scratch"; a bundle without pre-training does not say it."""
    return CHAIN.split(method.strip())[0].split("+")[0] == SCRATCH


def make_recipes(methods: Mapping[str, str], folders: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipe of each method by its name.

    A method is "BUNDLE+overlay", which pre-trains and trains by one bundle, "BUNDLE+overlay > BUNDLE+overlay", which
    pre-trains by the first and trains by the second, or "scratch+overlay", which trains without pre-training by the
    first bundle that another method trains by; "scratch > BUNDLE" names it, and so does a BUNDLE alone that has no
    stage of pre-training.

    Args:
        methods: by name, in their order.
        folders: where bundles are searched first.

    Raises:
        FileNotFoundError: when a bundle or an overlay is absent.
        ValueError: when a method is no such text, "scratch" stands without any bundle, or the first of two bundles has
            no pre-training.
    """
    parts = {name: CHAIN.split(text.strip()) for name, text in methods.items()}
    trained = [steps[-1] for steps in parts.values() if steps[-1].split("+")[0] != SCRATCH]
    found: dict[str, Bundle] = {}
    of_folder: dict[Path, Bundle] = {}

    def find(text: str) -> Bundle:
        if text not in found:
            bundle = find_bundle(text, folders)
            found[text] = of_folder.setdefault(bundle.folder, bundle).with_overlays(bundle.overlays)
        return found[text]

    recipes = {}
    for name, steps in parts.items():
        if len(steps) > 2 or (len(steps) == 2 and steps[1].split("+")[0] == SCRATCH):
            raise ValueError(
                f"{name}: expected BUNDLE, or BUNDLE > BUNDLE to pre-train by one and train by the other, found "
                f"{methods[name]!r}"
            )
        scratch, *overlays = steps[0].split("+")
        if scratch != SCRATCH:
            recipes[name] = Recipe(_pretraining(name, find(steps[0]), len(steps)), find(steps[-1]))
        elif len(steps) == 2:
            if overlays:
                raise ValueError(f"{name}: lay the overlays over the bundle that trains, found {methods[name]!r}")
            recipes[name] = Recipe(None, find(steps[1]))
        elif not trained:
            raise ValueError(f"{SCRATCH!r} needs a bundle to train: name one as a method, found {list(methods)}")
        else:
            recipes[name] = Recipe(None, find(trained[0]).with_overlays(overlays))
    return recipes


def _pretraining(method: str, bundle: Bundle, steps: int) -> Bundle | None:
    """The bundle that pre-trains; None where it has no such stage and trains from scratch itself."""
    if bundle.pretrain_stages:
        return bundle
    if steps > 1:
        raise ValueError(f"{method}: {bundle.name} has no pre-training; write {SCRATCH} > BUNDLE to train without any")
    return None
