# SPDX-License-Identifier: Apache-2.0
"""What a training was asked for and what it chose, kept in its folder so that it can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_cl_ext.data.splits import Case
from monai_cl_ext.files import write_text
from monai_cl_ext.recipes.choices import Choice
from monai_cl_ext.recipes.recipe import TrainingRecipe

PLAN = "run.json"
LOG = "log.txt"
BEFORE = {LOG, "check", ".lock"}
"""What a training that did not begin leaves in its folder."""


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides a training.

    Attributes:
        root: folder of the training, which the bundles' configs name.
        given: the arguments, by name.
        contents: a hash of each file of the data set.
        split: see ``patients.training_split``.
        recipe: what is run.
        choices: what was chosen for the data.
        class_names: of the foreground classes.
    """

    root: str
    given: dict[str, Any]
    contents: dict[str, str]
    split: dict[str, list[Case]]
    recipe: TrainingRecipe
    choices: list[Choice]
    class_names: list[str]

    def write(self) -> None:
        """Keeps the plan in the folder of the training."""
        write_text(Path(self.root) / PLAN, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, root: Path) -> TrainingPlan | None:
        """The plan that a folder keeps, or None for a folder that is new.

        Raises:
            FileExistsError: when the folder holds something else.
            ValueError: when its plan cannot be read, or the folder was moved since.
        """
        path = root / PLAN
        if not path.is_file():
            others = sorted({entry.name for entry in root.iterdir()} - BEFORE) if root.is_dir() else []
            if others or (root.exists() and not root.is_dir()):
                told = f"{others[0]} in it" if others else "a file"
                raise FileExistsError(
                    f"output {root}: expected a new folder, or one of train, found {told}; give another"
                )
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            content.pop("modality", None)  # of plans that were written before dataset.json was read at the end
            recipe, choices = TrainingRecipe(**content["recipe"]), [Choice(**one) for one in content["choices"]]
            plan = cls(**{**content, "recipe": recipe, "choices": choices})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} is damaged, or of another version ({error!r}); remove {root}, or give another output"
            ) from error
        if plan.root != str(root):
            raise ValueError(
                f"{root} was moved from {plan.root}, which its files name; move it back to go on; once the training "
                "has ended, predict works here too"
            )
        return plan

    def refuse_changes(self, given: Mapping[str, Any], contents: Mapping[str, str]) -> None:
        """Refuses to go on with other arguments or other files.

        Raises:
            ValueError: names what differs.
        """
        for name, value in given.items():
            if self.given.get(name) != value:
                raise ValueError(
                    f"{self.root} was begun with {name} {self.given.get(name)!r}, found {value!r}; give the arguments "
                    "that it was begun with, or another output"
                )
        changed = sorted({file for file, _ in self.contents.items() ^ contents.items()})
        if changed:
            raise ValueError(
                f"{self.root} was begun with other files: {len(changed)} of them came, went or changed since, such as "
                f"{changed[0]}; bring them back, or give another output"
            )
