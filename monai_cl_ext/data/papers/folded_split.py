# SPDX-License-Identifier: Apache-2.0
"""The folds and draws that the released codes of PCL and SuperCL make."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from monai_cl_ext.arguments import one_of, positive_integer
from monai_cl_ext.data.same_volumes import warn_of_same_volumes
from monai_cl_ext.data.splits import Case, by_patient

FOLDS, FOLD_SEED, DRAW_SEED = 5, 12345, 1234


def folded_split(cases: Sequence[Case], labelled: int, fold: int = 0, validation: int = 2) -> dict[str, list[Case]]:
    """One of five folds of the patients as test set, and labeled patients drawn from the others, as released.

    The folds are those of scikit-learn's ``KFold(5, shuffle=True, random_state=12345)`` over the sorted patients, the
    draw is ``random.sample`` after ``random.seed(1234)``: with all 100 patients of ACDC and fold 0 these are the lists
    that SuperCL publishes (8 and 20 labeled patients there). Both releases select on the test patients, and PCL
    pre-trains on them as well; here validation patients are drawn after the labeled ones, and test patients are in
    nothing else.

    Args:
        cases: dictionaries with "patient".
        labelled: patients whose labels are used.
        fold: 0 to 4, the test patients.
        validation: patients to select with.

    Returns:
        "pretrain" (all cases of the training folds but those of the validation patients), "train", "validation",
        "test".

    Raises:
        ValueError: when there are fewer than five patients, or fewer in the training folds than are asked for.
    """
    groups = by_patient(cases)
    warn_of_same_volumes(cases)
    patients = list(groups)
    one_of("fold", fold, range(FOLDS))
    if len(patients) < FOLDS:
        raise ValueError(f"{FOLDS} folds need at least as many patients, found {len(patients)}; use split_patients")
    order = np.arange(len(patients))
    np.random.RandomState(FOLD_SEED).shuffle(order)
    tested = set(np.array_split(order, FOLDS)[fold].tolist())
    training = [patient for number, patient in enumerate(patients) if number not in tested]
    wanted = positive_integer("labelled", labelled) + positive_integer("validation", validation)
    if wanted > len(training):
        raise ValueError(
            f"labeled and validation patients, {wanted}, are more than the {len(training)} of the training folds; "
            "ask for fewer"
        )
    generator = random.Random(DRAW_SEED)
    drawn = generator.sample(training, labelled)
    selecting = generator.sample([patient for patient in training if patient not in drawn], validation)
    parts = {
        "pretrain": [patient for patient in training if patient not in selecting],
        "train": drawn,
        "validation": selecting,
        "test": [patient for patient in patients if patient not in training],
    }
    return {part: [case for patient in names for case in groups[patient]] for part, names in parts.items()}
