# SPDX-License-Identifier: Apache-2.0
"""The command line writes phantoms and answers mistakes in one line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from PIL import Image

from monai_cl_ext.data import write_phantom


@pytest.fixture(scope="module")
def few_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(10):
        values = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


def test_phantom_writes_a_data_set(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, "phantom", "--output", tmp_path / "data", "--patients", 2, "--seed=3", "--frames=2") == 0
    assert len(list((tmp_path / "data" / "imagesTr").iterdir())) == 4
    assert "2 patients written to" in capsys.readouterr().out


def test_a_folder_name_that_is_a_number_is_a_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "phantom", "2024", "--patients=1") == 0
    assert (tmp_path / "2024" / "dataset.json").is_file()


@pytest.mark.parametrize("name", ["2024_11", "1.10", "1e3", "0x10", "001", "[a]", "None"])
def test_a_folder_name_is_kept_as_it_was_typed(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "phantom", "--output", name, "--patients=1") == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_text_option_without_a_text_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for arguments in (["--output"], ["--output", "--patients=1"]):
        assert "--output: found no text" in run(monkeypatch, "phantom", *arguments)
    assert not list(tmp_path.iterdir())


def test_texts_of_a_study_are_kept_as_they_were_typed(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(
        "monai_cl_ext.study.commands.keep_plan", lambda root, arguments: given.update(arguments) or 1 / 0
    )
    options = ["--output=a", "--dataset_dir", "2024_11", "--label_dir=1.10", "--classes", "[01,1e3]", "--splits", "1_0"]
    options += ["--labelled=[1,2]", "--methods", "[scratch,2024_11]", "--validation", "0.2"]
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, "study", "run", *options)
    assert given == {
        "dataset_dir": "2024_11", "label_dir": "1.10", "classes": ["01", "1e3"], "labelled": [1, 2],
        "methods": ["scratch", "2024_11"], "validation": 0.2, "splits": "1_0",
    }  # fmt: skip


def test_help_names_commands_and_options(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "phantom" in capsys.readouterr().err
    assert run(monkeypatch) == 0
    assert "phantom" in capsys.readouterr().err
    assert run(monkeypatch, "phantom", "--help") == 0
    shown = capsys.readouterr().err
    for word in ("OUTPUT", "--patients", "Default: 40", "--seed", "--frames", "must be empty or not exist"):
        assert word in shown


@pytest.mark.parametrize(
    "options, message",
    [(["--patient=3"], "no option --patient; did you mean --patients? It"), (["--patients=two"], "patients must be"),
     (["--seed=-1"], "seed must be"), (["--frames=5"], "frames must be")],
)  # fmt: skip
def test_mistakes_end_in_one_line_and_write_nothing(options, message, monkeypatch, tmp_path):
    status = run(monkeypatch, "phantom", "--output", tmp_path / "data", *options)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["false", "no", "0", "true"])
def test_flags_are_true_or_false_with_a_capital_letter(text, monkeypatch, tmp_path):
    status = run(monkeypatch, "phantom", "--output", tmp_path / "data", "--patients=1", f"--channel_files={text}")
    assert (
        status == f"monai-cl: --channel_files: expected True or False, found '{text}'; write it with a capital letter"
    )
    assert run(monkeypatch, "phantom", "--output", tmp_path / "data", "--patients=1", "--channel_files=False") == 0
    assert run(monkeypatch, "phantom", "--output", tmp_path / "more", "--patients=1", "--channel_files") == 0
    assert [len(list(tmp_path.glob(f"{name}/imagesTr/*_0000.nii.gz"))) for name in ("data", "more")] == [0, 1]


def test_values_by_name_that_fire_cannot_read_are_named(monkeypatch, capsys):
    bundle = str(Path(__file__).parents[1] / "bundles" / "gcl_segmentation")
    for name in ("settings", "options"):
        status = run(monkeypatch, "slurm_script", bundle, "--config=train", f"--{name}={{folder: /data}}")
        assert (
            f"{name}: expected values by name such as {{epochs: 15, folder: '/data'}}, found '{{folder: /data}}'"
            in status
        )
    capsys.readouterr()
    assert run(monkeypatch, "slurm_script", bundle, "--config=train", "--settings={dataset_dir: '/data'}") == 0
    assert "--dataset_dir /data" in capsys.readouterr().out


@pytest.mark.slow
def test_a_folder_in_use_is_refused_without_a_traceback(tmp_path):
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "monai_cl_ext", "phantom", "--output", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if "monai-cl:" in line]
    assert len(errors) == 1 and "not an empty folder" in errors[0] and "Traceback" not in ended.stderr


def test_report_writes_one_page(monkeypatch, tmp_path, capsys):
    (tmp_path / "metrics.csv").write_text("volume,class,dice,jaccard,hd95,asd,missed\na,LV,0.5,0.3,4.0,1.0,0\n")
    assert run(monkeypatch, "report", tmp_path, "--output", tmp_path / "page.html") == 0
    assert f"report written to {tmp_path / 'page.html'}" in capsys.readouterr().out
    assert "0.500" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("name, message", [("absent", "is not a folder"), ("", "holds no records of a run")])
def test_report_on_nothing_ends_in_one_line(name, message, monkeypatch, tmp_path):
    status = run(monkeypatch, "report", tmp_path / name)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not list(tmp_path.iterdir())


def test_study_commands_tell_their_arguments(monkeypatch, capsys):
    assert run(monkeypatch, "study", "run", "--help") == 0
    shown = capsys.readouterr().err
    for word in ("OUTPUT", "--workers", "--dataset_dir", "--labelled", "the same ones serve every method"):
        assert word in shown


@pytest.mark.parametrize(
    "options, message",
    [(["--draw=3"], "run has no option --draw; did you mean --dr"), (["--labelled=[1]"], "a plan needs --dataset_dir"),
     ([], "plan.json does not exist")],
)  # fmt: skip
def test_mistakes_in_a_study_end_in_one_line_and_write_nothing(options, message, monkeypatch, tmp_path):
    status = run(monkeypatch, "study", "run", "--output", tmp_path / "study", *options)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    "options, message",
    [(["train", "nowhere", "--output=run"], "data_dir nowhere: expected a folder, found nothing"),
     (["train", "2024", "--output=run"], "2024: found 1 volume(s), but no label; give the folder of the labels"),
     (["train", "2024", "--output=2024/run"], "lies in the data"),
     (["train", "2024", "--output=run", "--label=a"], "train has no option --label; did you mean --labels or"),
     (["predict", "2024", "2024", "--output=out"], "2024: found no configs/inference.json; give the --output of")],
)  # fmt: skip
def test_mistakes_in_train_and_predict_end_in_one_line(options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write_phantom("data", patients=1, seed=0)
    (tmp_path / "data" / "imagesTr").rename("2024")
    status = run(monkeypatch, *options)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not (tmp_path / "out").exists() and not list(tmp_path.rglob("run.json"))


@pytest.mark.slow
def test_views_writes_page_numbers_figures_and_the_picked_overlay(monkeypatch, tmp_path, capsys):
    write_phantom(tmp_path / "data", patients=4, seed=0)
    options = ["--policy=gcl,basic", "--images=16", "--size=24", "--strengths=0.5,1", "--pick", "basic,1.0"]
    assert run(monkeypatch, "views", tmp_path / "data", "--output", tmp_path / "out", *options) == 0
    assert f"page written to {tmp_path / 'out' / 'views.html'}" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "views.html", "views.json", "figures", "view_policy.json",
    }  # fmt: skip
    overlay = json.loads((tmp_path / "out" / "view_policy.json").read_text())
    assert overlay["view_policy"]["_target_"].endswith("basic_policy") and overlay["strength"] == 1


def test_views_takes_policies_from_files_and_one_strength(monkeypatch, few_pictures, tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"view_policy": {"_target_": "monai_cl_ext.transforms.gcl_policy"}}))
    options = ["--policy", f"{own},weak", "--size=16", "--strengths=0.5", "--pick", f"{own},0.5"]
    assert run(monkeypatch, "views", few_pictures, "--output", tmp_path / "out", *options) == 0
    assert json.loads((tmp_path / "out" / "view_policy.json").read_text())["strength"] == 0.5


@pytest.mark.parametrize(
    "options, message",
    [(["--polcy=gcl"], "views has no option --polcy; did you mean --pol"), (["--policy=storng"], "policy must be one"),
     (["--strengths=[2]"], "strengths must be"), (["--strengths=a"], "strengths must be"),
     (["--images=0"], "images must be"), (["--checkpoint=x"], "checkpoint x: found no network"),
     (["--network=x.json"], "network x.json: no JSON file"), (["--pick=strong"], "pick must be one of strong,0.25"),
     (["--pick=0.5"], "pick must be one of strong,0.25"), (["--slice_axis=4"], "slice_axis must be")],
)  # fmt: skip
def test_mistakes_in_views_end_in_one_line_and_write_nothing(options, message, monkeypatch, few_pictures, tmp_path):
    status = run(monkeypatch, "views", few_pictures, "--output", tmp_path / "out", "--size=16", *options)
    assert isinstance(status, str) and message in status and "\n" not in status
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "failure, status",
    [(KeyboardInterrupt(), 130), (BrokenPipeError(32, "Broken pipe"), 1), (MemoryError(), "out of memory"),
     (OSError(28, "No space left on device", "x"), "No space left on device: 'x'"), (ImportError("a"), "monai-cl: a")],
)  # fmt: skip
def test_what_ends_a_command_from_outside_has_no_traceback(failure, status, monkeypatch, capfd):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr("monai_cl_ext.data.phantom.write_phantom", fail)
    ended = run(monkeypatch, "phantom", "a")
    assert (ended == status) if isinstance(status, int) else (status in ended and "\n" not in ended)
    told = capfd.readouterr().err
    assert len(told.splitlines()) == (1 if status == 130 else 0)


@pytest.mark.parametrize("failure", [KeyError("a"), TypeError("a"), ValueError("a"), RuntimeError("a")])
def test_errors_in_the_program_keep_their_traceback(failure, monkeypatch):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr("monai_cl_ext.data.phantom.write_phantom", fail)
    with pytest.raises(type(failure)):
        run(monkeypatch, "phantom", "a")


@pytest.mark.slow
def test_a_reader_of_the_output_may_end_early(tmp_path):
    command = f"{sys.executable} -m monai_cl_ext phantom --output {tmp_path / 'a'} --patients 1 | true"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in ended.stderr and "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize("command", [["study", "run"], ["report"], ["phantom"], ["views"]])
def test_a_folder_that_links_to_itself_is_named(command, monkeypatch, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    name = "--run_dir" if command == ["report"] else "--output" if command != ["views"] else "--data_dir"
    status = run(monkeypatch, *command, f"{name}={tmp_path / 'loop'}")
    assert isinstance(status, str) and "loop" in status and "\n" not in status
