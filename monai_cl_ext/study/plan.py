# SPDX-License-Identifier: Apache-2.0
"""The plan of a study: everything that decides it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_cl_ext.data.splits import by_patient, labelled_patients
from monai_cl_ext.study.plan_fields import refuse_wrong_fields
from monai_cl_ext.study.problems import Segmentation
from monai_cl_ext.study.recipe import Recipe, make_recipes
from monai_cl_ext.study.splits import Split


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study.

    Attributes:
        methods: what each method is by its name in the tables, see :func:`recipe.make_recipes`.
        labelled: numbers of labeled patients.
        draws: random draws of the labeled patients; the same ones serve every method.
        seeds: trainings of each draw.
        splits: one, or one for each fold.
        classes: name of each label.
        settings: values by config id, of every stage that knows them.
        pretrain_settings, train_settings: of pre-training and of training alone; all methods are trained with the same.
        stage_settings: by the name of a stage of pre-training, for this one alone.
        method_settings: by the name of a method, for its pre-training alone.
        scratch_learning_rates: from which training from scratch chooses on validation patients.
        pretrained_learning_rates: from which every pre-trained start chooses likewise; none leaves the bundle's.
        use_spacing: distances in mm; else in voxels.
        tolerance: of the normalized surface Dice.
        transductive: pre-training sees the images of validation and test patients.
        folders: where bundles are searched first.
        problem: what is predicted, one of ``problems.PROBLEMS``; a file without it is of segmentation.
    """

    methods: dict[str, str]
    labelled: list[int]
    draws: int
    seeds: int
    splits: list[Split]
    classes: dict[int, str]
    settings: dict[str, Any] = field(default_factory=dict)
    pretrain_settings: dict[str, Any] = field(default_factory=dict)
    stage_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    method_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    train_settings: dict[str, Any] = field(default_factory=dict)
    scratch_learning_rates: list[float] = field(default_factory=list)
    pretrained_learning_rates: list[float] = field(default_factory=list)
    use_spacing: bool = True
    tolerance: float = 2.0
    transductive: bool = False
    folders: list[str] = field(default_factory=list)
    problem: str = "segmentation"

    def __post_init__(self) -> None:
        """Refuses values that no plan can have, by a ValueError that names the field."""
        refuse_wrong_fields(self)

    def to_json(self) -> str:
        """The plan as text; equal plans give equal texts."""
        content = asdict(self)
        if self.problem == Segmentation.name:
            del content["problem"]  # such a file is as it was before there were others
        return json.dumps(content, indent=1)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan of a file with such a text.

        Raises:
            ValueError: when the file is absent, cut, of another version or no plan.
        """
        remedy = "restore it, or remove it and plan the study again with the same arguments"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ValueError(f"{path} does not exist; give the folder of a study, the --output of study run") from error
        except ValueError as error:
            raise ValueError(f"{path} is cut, empty or no JSON ({error}); {remedy}") from error
        names = {item.name for item in fields(cls)}
        if not isinstance(content, dict) or {*content, "problem"} != names:
            differing = sorted({*content, "problem"} ^ names) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{path} is no plan, or one of another version ({differing}); {remedy}")
        try:
            classes = {int(label): name for label, name in dict(content["classes"]).items()}
            return cls(**{**content, "classes": classes})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is no plan: {error}; {remedy}") from error

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """The bundles of each method; the errors are those of :func:`recipe.make_recipes`."""
        return make_recipes(self.methods, self.folders)

    def draws_of(self, fold: int, labelled: int) -> int:
        """The number of draws of labeled patients in a fold; one where all are taken, since every draw is the same."""
        available = len(labelled_patients(by_patient(self.splits[fold]["train"])))
        return self.draws if labelled < available else 1

    def learning_rates(self, method: str) -> list[float]:
        """From which the training of a method chooses on validation patients; none keeps the bundle's."""
        pretrained = bool(self.recipes[method].pretrain_stages)
        return self.pretrained_learning_rates if pretrained else self.scratch_learning_rates
