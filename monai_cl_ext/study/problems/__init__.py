# SPDX-License-Identifier: Apache-2.0
"""What a study predicts: maps of structures in volumes, or the class of each photograph."""

from collections.abc import Iterable

from monai_cl_ext.study.problems.classification import Classification
from monai_cl_ext.study.problems.problem import Problem
from monai_cl_ext.study.problems.segmentation import Segmentation
from monai_cl_ext.study.recipe import Recipe

PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (Segmentation(), Classification())}
"""By name, as a bundle's metadata.json has it under "study_problem"."""

__all__ = ["PROBLEMS", "Classification", "Problem", "Segmentation", "problem_of"]


def problem_of(recipes: Iterable[Recipe]) -> str:
    """What the bundles that train predict: "study_problem" in their metadata.json, segmentation where there is none.

    Raises:
        ValueError: when it is unknown, or two bundles differ.
    """
    found: dict[str, str] = {}
    for recipe in recipes:
        bundle = recipe.training
        name = bundle.read("metadata").get("study_problem", Segmentation.name)
        if name not in PROBLEMS:
            raise ValueError(
                f"{bundle.path('metadata')}: study_problem must be one of {', '.join(PROBLEMS)}, found {name!r}"
            )
        found.setdefault(name, bundle.name)
    if len(found) > 1:
        told = " and ".join(f"{bundle} ({name})" for name, bundle in found.items())
        raise ValueError(f"the bundles {told} predict different things; make a study of each")
    return next(iter(found))
