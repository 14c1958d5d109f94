"""Conda environments of the rules: parts of the one lock that hold all that a stage imports, torch in one alone."""

import ast
import importlib.util
import re
import shutil
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from platemae.fingerprint import PACKAGE, import_closure
from platemae.layout import MANIFESTS

BESIDE = ("cli", "job", "logs", "errors", "layout")
"""What every job imports and no code digest covers."""


def pins(path):
    return re.findall(r"^      - (\S+)$", path.read_text(), re.M)


def names(path):
    return {line.split("==")[0].lower().replace("_", "-") for line in pins(path)}


def environment_of(project, stage):
    (named,) = re.findall(r'conda:\n\s+"\.\./(envs/\S+)"', (project / f"rules/{stage}.smk").read_text())
    return project / named


def every_entry():
    """Names in all registries, so that no class of any configuration is left out."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "REGISTRY":
                found |= set(ast.literal_eval(node.value))
    return tuple(sorted(found))


def imported(path):
    """Top-level packages that a file imports, also late, by ``import_module``, or as ``package:file`` of its data."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    unread = {id(inner) for node in typing for inner in ast.walk(node)}
    found = set()
    for node in (each for each in ast.walk(tree) if id(each) not in unread):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
        elif isinstance(node, ast.Constant) and re.match(r"bokeh:", str(node.value)):
            found.add("bokeh")
    return {str(name).split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"platemae", ""}


@pytest.fixture(scope="module")
def needed():
    """Stage -> distributions that its code imports, whatever the configuration."""
    entries, known = every_entry(), packages_distributions()
    beside = [PACKAGE / f"{name}.py" for name in BESIDE] + sorted((PACKAGE / "console").glob("*.py"))
    found = {}
    for stage in MANIFESTS:
        files = [*import_closure(f"platemae.stages.{stage}", entries).values(), *beside]
        packages = {package for file in files for package in imported(file)}
        found[stage] = {known[package][0].lower().replace("_", "-") for package in packages}
    return found


def test_each_rule_finds_what_it_imports_in_its_environment(project, needed):
    lacking = {stage: sorted(needed[stage] - names(environment_of(project, stage))) for stage in MANIFESTS}
    assert {stage: packages for stage, packages in lacking.items() if packages} == {}


def test_torch_is_in_the_environment_of_the_networks_alone(project, needed):
    with_torch = {stage for stage in MANIFESTS if "torch" in needed[stage]}
    assert with_torch == {"train_model", "embed_plate"}
    found = {stage: "torch" in names(environment_of(project, stage)) for stage in MANIFESTS}
    assert {stage for stage, has in found.items() if has} == with_torch


def test_rules_call_one_program_which_each_environment_gets_after_it_is_made(project):
    scripts = tomllib.loads((project / "pyproject.toml").read_text())["project"]["scripts"]
    for stage in MANIFESTS:
        shell = (project / f"rules/{stage}.smk").read_text().split("    shell:\n")[1]
        assert shell.split()[0].strip('"') in scripts
        script = environment_of(project, stage).with_suffix(".post-deploy.sh")
        assert "pip install --no-deps" in script.read_text()


def test_all_environments_are_parts_of_the_one_lock(project):
    lock = (project / "envs/lock.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!_]+", line) for line in lock), "names and versions only"
    assert {"torch==2.13.0", "torchvision==0.28.0"} <= set(lock), "a pair"
    for path in (project / "envs").glob("*.yaml"):
        assert set(pins(path)) <= set(lock), path.name
    assert {"snakemake", "torch"} <= names(project / "envs/platemae.yaml")
    assert "envs/lock.txt" in (project / "envs/platemae.def").read_text()


def test_the_image_gets_the_package_and_the_workflow_and_no_results(project):
    files = (project / "envs/platemae.def").read_text().split("%files\n")[1].split("\n\n")[0]
    copied = dict(line.split() for line in files.splitlines())
    assert copied == {name: f"/opt/platemae/{name}" for name in copied}
    assert all((project / name).exists() for name in copied)
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    needed = {"pyproject.toml", declared["project"]["readme"], *declared["project"]["license-files"]}
    needed |= {path.split("/")[0] for path in declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert copied.keys() == needed | {"Snakefile", "config.yaml", "rules", "workflow", "envs"}


def test_the_files_are_what_make_lock_writes(project, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("split", project / "envs/split.py")
    split = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(split)
    shutil.copy(project / "envs/lock.txt", tmp_path)
    monkeypatch.setattr(split, "FOLDER", tmp_path)
    split.main()
    written = sorted(path.name for path in tmp_path.iterdir() if path.name != "lock.txt")
    assert len(written) == 7
    for name in written:
        assert (tmp_path / name).read_text() == (project / "envs" / name).read_text(), f"{name}: run make lock"
