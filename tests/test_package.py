# SPDX-License-Identifier: Apache-2.0
"""What is published of the package tells one version, and the recipes for containers and sites name what there is."""

import re
from pathlib import Path

import pytest
import yaml

import monai_cl_ext
from monai_cl_ext.bundles import bundle_names, metadata_of

ROOT = Path(__file__).resolve().parents[1]
INSTRUCTIONS = {"FROM", "ARG", "WORKDIR", "RUN", "COPY", "ENTRYPOINT", "CMD"}


def test_one_version():
    assert f"version: {monai_cl_ext.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    for name in bundle_names():
        assert metadata_of(name)["required_packages_version"]["monai-cl-ext"] == monai_cl_ext.__version__


def test_both_licenses_are_told_and_shipped():
    """That of the code, and that of the weights of the bundles in the package."""
    settings = (ROOT / "setup.cfg").read_text()
    assert "license_expression = Apache-2.0 AND CC-BY-SA-4.0\n" in settings
    files = settings.split("license_files =")[1].split("keywords")[0].split()
    assert files == ["LICENSE", "LICENSE-CC-BY-SA-4.0"]
    code, weights = ((ROOT / name).read_text() for name in files)
    assert "Apache License" in code and "Attribution-ShareAlike 4.0 International" in weights


def test_the_container_installs_as_the_readme_does():
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    steps = [line.split(maxsplit=1) for line in lines]
    assert {name for name, _ in steps} <= INSTRUCTIONS and steps[0][0] == "FROM" and not any(
        line.endswith("\\") for line in lines
    )  # fmt: skip
    declared = {rest.split("=")[0] for name, rest in steps if name == "ARG"}
    assert set(re.findall(r"\$\{(\w+)\}", "\n".join(lines))) == declared
    for name, rest in steps:
        if name == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    (extras,) = (rest.split("=")[1] for name, rest in steps if rest.startswith("EXTRAS="))
    assert f'pip install ".[{extras}]"' in (ROOT / "README.md").read_text()
    pinned = re.search(r"torch==[\d.]+", "\n".join(lines))[0]
    assert pinned in (ROOT / "Makefile").read_text() and pinned in (ROOT / "constraints.txt").read_text()


def test_the_site_is_what_make_docs_builds():
    jobs = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())["build"]["jobs"]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [*jobs["create_environment"], *jobs["build"]["html"]]
    named = {words[1] for words in map(str.split, commands) if words[0] == "make"}
    assert named == {"install", "docs"} and named <= targets


@pytest.mark.parametrize(
    "file", ["zoo_test_volumes.py.txt", "zoo_test_photographs.py.txt", "schema/meta_schema_20240725.json"]
)
def test_what_is_no_code_is_in_the_package(file):
    listed = (ROOT / "setup.cfg").read_text().split("[options.package_data]")[1].split("[")[0]
    patterns = [line.strip() for line in listed.splitlines() if line.startswith("    packing/")]
    assert any((Path("packing") / file).match(pattern) for pattern in patterns)
