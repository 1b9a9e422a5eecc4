# SPDX-License-Identifier: Apache-2.0
"""The plan of a study: its splits, its methods, and the grid of cells that follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl_ext.data.splits import Case, by_patient, draw_patients
from monai_cl_ext.study.bundles import Bundle, find_bundle
from monai_cl_ext.study.layout import folder_name
from monai_cl_ext.study.plan_fields import refuse_wrong_fields
from monai_cl_ext.study.splits import Split
from monai_cl_ext.study.task import Run, Task

SCRATCH = "scratch"


@dataclass(frozen=True)
class Plan:
    """Everything that decides a study.

    Attributes:
        methods: bundle with overlays of each method by its name in the tables; "scratch" is a start, not a bundle.
        labelled: numbers of labelled patients.
        draws: random draws of the labelled patients; the same ones serve every method.
        seeds: trainings of each draw.
        splits: one, or one for each fold.
        classes: name of each label.
        settings: values by config id, of every stage that knows them.
        pretrain_settings, train_settings: of these stages alone; every method is fine-tuned with the same. The name of
            a stage of pre-training, or of a method, holds what is for this one alone.
        scratch_learning_rates: from which training from scratch chooses on validation patients.
        pretrained_learning_rates: from which every pre-trained start chooses likewise; none leaves the bundle's.
        use_spacing: distances in mm; else in voxels.
        tolerance: of the normalised surface Dice.
        transductive: pre-training sees the images of validation and test patients.
        folders: where bundles are searched first.
    """

    methods: dict[str, str]
    labelled: list[int]
    draws: int
    seeds: int
    splits: list[Split]
    classes: dict[int, str]
    settings: dict[str, Any] = field(default_factory=dict)
    pretrain_settings: dict[str, Any] = field(default_factory=dict)
    train_settings: dict[str, Any] = field(default_factory=dict)
    scratch_learning_rates: list[float] = field(default_factory=list)
    pretrained_learning_rates: list[float] = field(default_factory=list)
    use_spacing: bool = True
    tolerance: float = 2.0
    transductive: bool = False
    folders: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuses values that no plan can have, by a ValueError that names the field."""
        refuse_wrong_fields(self)

    def to_json(self) -> str:
        """The plan as text; equal plans give equal texts."""
        return json.dumps(asdict(self), indent=1)

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
        if not isinstance(content, dict) or set(content) != names:
            differing = sorted(set(content) ^ names) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"{path} is no plan, or one of another version ({differing}); {remedy}")
        try:
            classes = {int(label): name for label, name in dict(content["classes"]).items()}
            return cls(**{**content, "classes": classes})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is no plan: {error}; {remedy}") from error

    def bundle(self, method: str) -> Bundle:
        """The bundle of a method; training from scratch takes the first bundle that another method names.

        Raises:
            ValueError: when there is no such bundle.
        """
        name = self.methods[method]
        if not self.from_scratch(method):
            return find_bundle(name, self.folders)
        others = [other for other in self.methods.values() if other.split("+")[0] != SCRATCH]
        if not others:
            raise ValueError(f"{SCRATCH!r} needs a bundle to train: name one as a method, found {list(self.methods)}")
        return find_bundle("+".join([others[0].split("+")[0], *name.split("+")[1:]]), self.folders)

    def from_scratch(self, method: str) -> bool:
        """Whether a method is training from scratch."""
        return self.methods[method].split("+")[0] == SCRATCH

    def learning_rates(self, method: str) -> list[float]:
        """From which the fine-tuning of a method chooses on validation patients; none keeps the bundle's."""
        return self.scratch_learning_rates if self.from_scratch(method) else self.pretrained_learning_rates

    def own_settings(self, method: str, stage: str) -> dict[str, Any]:
        """What the pre-training of one method sets for itself at a stage."""
        return known(self.bundle(method), [stage], self.pretrain_settings.get(method, {}))

    def pretrain_stages(self, method: str) -> list[str]:
        """The stages of pre-training of a method; none from scratch."""
        return [] if self.from_scratch(method) else self.bundle(method).pretrain_stages


def tasks(plan: Plan, root: Path) -> list[Task]:
    """The cells of a study in an order in which they can run; a cell that several methods share comes once.

    Raises:
        ValueError: when a setting is unknown to every stage that it is for, or patients are too few.
    """
    cells: dict[str, Task] = {}
    for fold in range(len(plan.splits)):
        for method in plan.methods:
            pretraining = _pretraining(plan, method, fold, root)
            cells |= {task.name: task for task in pretraining}
            cells |= {task.name: task for task in _finetuning(plan, method, fold, pretraining, root)}
    return sorted(cells.values(), key=lambda task: not task.name.startswith("pretrain"))


def _pretraining(plan: Plan, method: str, fold: int, root: Path) -> list[Task]:
    """One cell a stage, named after all that makes it, so that methods with the same beginning share it."""
    bundle, split = plan.bundle(method), plan.splits[fold]
    chain: list[Task] = []
    made_by: list[str] = []
    for stage in plan.pretrain_stages(method):
        concerned = bundle.configs(stage)[1:]
        own = plan.own_settings(method, stage)
        told = [*concerned, *(f"{name}={value}" for name, value in own.items())]
        made_by += [name for name in told if name not in made_by]
        settings = {
            **known(bundle, [stage], {"seed": 0, **plan.settings}),
            **known(bundle, [stage], {**plan.pretrain_settings, **plan.pretrain_settings.get(stage, {})}),
            **own,
        }
        data = _data(bundle, stage, split, _unlabelled(split["pretrain"]), _unlabelled(split["validation"]))
        if chain:
            data["pretrained"] = weights(chain[-1], root)
        name = folder_name("+".join([bundle.folder.name, *made_by]))
        needs = [chain[-1].name] if chain else []
        run = Run([stage], settings, data)
        task = Task(f"pretrain/{name}/{stage}_fold_{fold}", str(bundle.folder), concerned, [run], needs)
        chain.append(task)
    return chain


def _finetuning(plan: Plan, method: str, fold: int, pretraining: Sequence[Task], root: Path) -> list[Task]:
    cells = []
    start = {"pretrained": weights(pretraining[-1], root)} if pretraining else {}
    needed = [task.name for task in pretraining[-1:]]
    for labelled in plan.labelled:
        choices = _choices(plan, method, fold, labelled, start, needed)
        cells += choices
        for draw in range(plan.draws if labelled < len(_labelled_patients(plan.splits[fold])) else 1):
            for seed in range(plan.seeds):
                name = f"finetune/{folder_name(method)}/labelled_{labelled}_draw_{draw}_seed_{seed}_fold_{fold}"
                facts = {"method": method, "labelled": labelled, "fold": fold, "draw": draw, "seed": seed}
                facts |= {"transductive": True} if plan.transductive else {}
                task = _finetune(plan, name, facts, start, "test")
                needs = [*needed, *(choice.name for choice in choices)]
                rates = {str(choice.facts["learning_rate"]): choice.name for choice in choices}
                chosen = {"learning_rate": rates} if rates else {}
                cells.append(replace(task, needs=needs, chosen=chosen))
    return cells


def _labelled_patients(split: Split) -> set[str]:
    """Those from which labelled patients are drawn; where all are taken, every draw is the same."""
    groups = by_patient(split["train"])
    return {patient for patient, cases in groups.items() if all(case.get("label") for case in cases)}


def _choices(
    plan: Plan, method: str, fold: int, labelled: int, start: Mapping[str, Any], needs: Sequence[str]
) -> list[Task]:
    """Cells of the first draw that are scored on validation patients, one for each learning rate."""
    cells = []
    for rate in plan.learning_rates(method):
        name = f"choice/{folder_name(method)}/labelled_{labelled}_learning_rate_{rate}_fold_{fold}"
        facts = {"method": method, "labelled": labelled, "fold": fold, "draw": 0, "seed": 0, "learning_rate": rate}
        cells.append(
            replace(_finetune(plan, name, facts, start, "validation", {"learning_rate": rate}), needs=list(needs))
        )
    return cells


def _finetune(
    plan: Plan,
    name: str,
    facts: Mapping[str, Any],
    start: Mapping[str, Any],
    part: str,
    tried: Mapping[str, Any] | None = None,
) -> Task:
    """The training and the inference of a cell.

    Args:
        plan, name, facts: of the study and of the cell.
        start: the pre-trained weights, if there are some.
        part: of the split, that is scored.
        tried: settings of this training alone.
    """
    bundle, split = plan.bundle(facts["method"]), plan.splits[facts["fold"]]
    labelled = draw_patients(split["train"], facts["labelled"], facts["draw"])
    training = {
        **known(bundle, ["train"], {"seed": facts["seed"], **plan.settings}),
        **plan.train_settings,
        **(tried or {}),
    }
    data = {**start, **_data(bundle, "train", split, labelled, split["validation"])}
    inference = known(bundle, ["inference"], {**plan.settings, **plan.train_settings})
    predicted = {"dataset#data": [{"image": case["image"]} for case in split[part]]}
    scoring = {"classes": plan.classes, "use_spacing": plan.use_spacing, "tolerance": plan.tolerance}
    runs = [Run(["train"], training, data), Run(["inference"], inference, predicted)]
    overlays = list(bundle.overlays)
    axis = int(plan.settings.get("slice_axis", 2))
    return Task(name, str(bundle.folder), overlays, runs, [], dict(facts), split[part], scoring, axis)


def _data(
    bundle: Bundle, stage: str, split: Split, training: Sequence[Case], validation: Sequence[Case]
) -> dict[str, Any]:
    """The data of a stage: the split and the drawn patients where a config has these keys, as those of this package.

    The test patients are handed to no stage but inference.

    Other bundles get the lists under the ids that MONAI's bundle properties give them.
    """
    ours = {"split": {**split, "test": []}} | ({"labelled": training} if stage == "train" else {})
    if len(known(bundle, [stage], ours)) == len(ours):
        return ours
    return {"train#dataset#data": training, "validate#dataset#data": validation}


def known(bundle: Bundle, stages: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a stage's config has."""
    files = [str(bundle.path(name)) for name in bundle.configs(*stages)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    return {name: value for name, value in settings.items() if name in parser}


def weights(task: Task, root: Path) -> str:
    """Where a stage of pre-training writes the network: configs/pretrain*.json writes models/model_pretrain*.pt."""
    return str(root / task.name / "models" / f"model_{task.runs[0].stage}.pt")


def _unlabelled(cases: Sequence[Case]) -> list[Case]:
    return [{"image": case["image"], "patient": case["patient"]} for case in cases]
