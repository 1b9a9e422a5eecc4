# SPDX-License-Identifier: Apache-2.0
"""Who is held back, which recipe is taken, and what follows from the volumes."""

import json

import numpy as np
import pytest

from monai_cl_ext.data_check.facts import CaseFacts, ImageFacts, LabelFacts
from monai_cl_ext.data_check.suggestion import Suggestion
from monai_cl_ext.recipes import recipe as recipes
from monai_cl_ext.recipes.choices import data_choices, stage_settings
from monai_cl_ext.recipes.patients import held_classes, labelled_patients, training_split, validation_patients
from monai_cl_ext.recipes.recipe import TrainingRecipe, recipe_for
from monai_cl_ext.study.bundles import Bundle, find_bundle
from monai_cl_ext.study.recipe import make_recipes


def case(patient: str, visit: int = 1, label: bool = True) -> dict:
    found = {"image": f"{patient}_{visit}.nii.gz", "patient": patient}
    return {**found, "label": f"{patient}_{visit}_seg.nii.gz"} if label else found


def patients_of(cases: list[dict]) -> set[str]:
    return {one["patient"] for one in cases}


@pytest.mark.parametrize("labelled, expected", [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (20, 4)])
def test_a_fifth_is_held_back_from_four_labeled_patients_on(labelled, expected):
    number, reason = validation_patients(labelled)
    assert number == expected and ("nothing tells how good" in reason) == (expected == 0)


def test_the_user_says_how_many_are_held_back():
    assert validation_patients(20, 0)[0] == 0 and validation_patients(3, 2)[0] == 2
    for wanted in (3, -1, 0.5, True):
        with pytest.raises(ValueError, match=r"validation_patients must be a number from 0 to 2.*found"):
            validation_patients(3, wanted)


def test_nothing_of_a_validation_patient_is_trained_on():
    """Also where a patient has a second volume without a label."""
    labelled = [case(f"p{number}", visit) for number in range(5) for visit in (1, 2)]
    cases = [*labelled, *(case(f"p{number}", 3, label=False) for number in range(5)), case("u1", label=False)]
    assert labelled_patients(cases) == [f"p{number}" for number in range(5)]
    split = training_split(cases, 1)
    held_back = patients_of(split["validation"])
    assert len(held_back) == 1 and len(split["validation"]) == 2 and not split["test"]
    assert patients_of(split["train"]) == {f"p{number}" for number in range(5)} - held_back
    assert len(split["train"]) == 8 and len(split["pretrain"]) == 13
    assert patients_of(split["pretrain"]) == patients_of(split["train"]) | {"u1"}


def test_without_unlabeled_volumes_the_training_is_supervised(monkeypatch):
    monkeypatch.setattr(recipes, "SEMI_SUPERVISED", "supercl_segmentation")
    assert recipe_for(3, 1).method.endswith("> supercl_segmentation")
    assert recipe_for(3, 0).method.endswith(f"> {recipes.SUPERVISED}") and "supervised" in recipe_for(3, 0).reason


@pytest.mark.parametrize("unlabelled", [0, 5])
def test_a_method_that_is_given_has_the_schedule_of_the_recipe_and_its_own_rate(unlabelled):
    own = recipe_for(3, unlabelled)
    for bundle, rate in {"mean_teacher_segmentation": 0.003, recipes.SUPERVISED: 0.001}.items():
        given = recipe_for(3, unlabelled, f"scratch > {bundle}")
        assert given.method == f"scratch > {bundle}" and given.reason == "as given"
        assert given.train_settings == {**own.train_settings, "learning_rate": rate}
        assert given.pretrain_settings == {}  # those of its bundle


@pytest.mark.parametrize("unlabelled", [0, 5])
def test_the_bundles_know_every_setting_of_the_recipes(unlabelled):
    recipe = recipe_for(2, unlabelled)
    method = make_recipes({"one": recipe.method})["one"]
    for stage in method.pretrain_stages:
        assert recipe.pretrain_settings.items() <= stage_settings(method.pretraining, stage, recipe, []).items()
    assert recipe.train_settings.items() <= stage_settings(method.training, "train", recipe, []).items()


def test_a_recipe_with_an_unknown_setting_is_refused():
    bundle = find_bundle("gcl_segmentation")
    with pytest.raises(ValueError, match="the recipe sets epoch, which .*train.json does not have"):
        stage_settings(bundle, "train", TrainingRecipe("a", "b", train_settings={"epoch": 1}), [])
    unknown = TrainingRecipe("a", "b", pretrain_settings={"epoch": 1})
    assert stage_settings(bundle, "inference", unknown, []) == {}


def facts(*slices: int) -> list[CaseFacts]:
    return [
        CaseFacts(
            f"{number}", None, f"{number}", ImageFacts((32, 32, count), (1, 1, 1), "RAS", (), 1, "", True, (), [])
        )
        for number, count in enumerate(slices)
    ]


@pytest.mark.parametrize("slices, expected", [
    ((9, 9, 9, 9), {}), ((9, 9), {"volumes_per_batch": 2}), ((9,), {"volumes_per_batch": 1}),
    ((9, 9, 1), {"volumes_per_batch": 2}), ((3, 3, 2), {"partitions": 2}),
    ((1,) * 20, {"partitions": 1, "strategy": "gr", "volumes_per_batch": 12}),
])  # fmt: skip
def test_batches_are_those_that_the_volumes_fill(slices, expected):
    suggestion = Suggestion({"slice_axis": 2}, {"slice_axis": "it is so"})
    found = facts(*slices)
    cases = [{"image": one.image} for one in found]
    choices = data_choices(suggestion, found, cases, find_bundle("gcl_segmentation+no_local"))
    assert {choice.name: choice.value for choice in choices} == {"slice_axis": 2, **expected}
    assert all(choice.reason for choice in choices)


@pytest.mark.parametrize("stage, expected", [
    ({"partitions": 3, "volumes_per_batch": 4}, {}),
    ({"partitions": 3, "volumes_per_batch": 5}, {"volumes_per_batch": 4}),
    ({"partitions": 4, "volumes_per_batch": 4}, {"partitions": 3}), ({}, {}),
])  # fmt: skip
def test_the_batches_that_are_wanted_are_those_of_the_bundle(stage, expected, tmp_path):
    (tmp_path / "configs").mkdir()
    for name, content in (("metadata", {"pretrain_stages": ["pretrain"]}), ("pretrain", stage)):
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(content))
    found = facts(3, 3, 3, 3)
    cases = [{"image": one.image} for one in found]
    suggestion = Suggestion({"slice_axis": 2}, {"slice_axis": "it is so"})
    choices = data_choices(suggestion, found, cases, Bundle(tmp_path))
    assert {choice.name: choice.value for choice in choices} == {"slice_axis": 2, **expected}
    assert [choice.name for choice in data_choices(suggestion, found, cases, None)] == ["slice_axis"]


def test_classes_that_labels_hold_are_found():
    def labelled(image: str, *classes: int) -> CaseFacts:
        held = LabelFacts(dict.fromkeys(classes, 5), None, (), [], np.zeros((1, 0)))
        return CaseFacts(image, "label", image, segmentation=held)

    known = [labelled("a", 0, 1), labelled("b", 0, 1, 2), labelled("c", 0, 3), CaseFacts("d", None, "d")]
    assert held_classes([{"image": "b"}, {"image": "d"}], known) == {1, 2}
    assert held_classes([{"image": "d"}], known) == held_classes([], known) == set()


@pytest.mark.parametrize("bundle", ["unimatch_segmentation", "self_training_segmentation", "supervised_segmentation"])
def test_a_bundle_without_pre_training_is_a_training_from_scratch(bundle):
    own, scratch = make_recipes({"own": bundle, "scratch": f"scratch > {bundle}"}).values()
    assert own == scratch and own.pretraining is None and own.name == bundle
    assert data_choices(Suggestion(), [], [], own.pretraining) == []


def test_a_bundle_without_pre_training_cannot_pre_train():
    with pytest.raises(ValueError, match="one: bcp_segmentation has no pre-training; write scratch > BUNDLE"):
        make_recipes({"one": "bcp_segmentation > supervised_segmentation"})
