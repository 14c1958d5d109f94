"""Who may import whom: DESIGN section 2, walked over the syntax trees."""

import ast
import subprocess
import sys

import pytest

LOW = {
    "answers",
    "errors",
    "contracts",
    "fingerprint",
    "logs",
    "layout",
    "job_record",
    "ledger",
    "stains",
    "wells",
    "selection",
    "profile_files",
    "look",
    "slurm",
    "locks",
}
MAY_IMPORT = {
    "errors": set(),
    "answers": set(),
    "contracts": {"errors"},
    "stains": set(),
    "wells": set(),
    "selection": {"errors"},
    "look": set(),
    "locks": set(),
    "inputs": LOW | {"config", "sharing"},
    "snakemake_call": {"errors"},
    "snakemake_groups": set(),
    "snakemake_signatures": set(),
    "snakemake_states": set(),
    "profile_files": {"errors"},
    "layout": {"errors"},
    "job_record": {"contracts", "layout"},
    "ledger": {"errors", "layout", "job_record"},
    "slurm": {"errors"},
    "holding": LOW,
    "logs": {"errors"},
    "fingerprint": {"contracts", "errors"},
    "tables": LOW,
    "neighbors": {"errors"},
    "annotations": {"errors", "contracts", "logs"},
    "layouts": {"errors", "contracts", "wells"},
    "config": LOW | {"layouts"},
    "readers": LOW | {"config", "layouts"},
    "store": LOW,
    "qc": LOW,
    "measure": LOW,
    "models": {"errors"},
    "training": {"errors", "models"},
    "data": LOW | {"store"},
    "embedding": LOW | {"models", "data", "store", "tables"},
    "correction": LOW,
    "benchmarks": LOW,
    "methods": LOW,
    "sharing": LOW | {"data", "store"},
    "provenance": LOW | {"config", "methods", "standing", "holding", "inputs"},
    "report": LOW | {"tables", "neighbors", "methods", "store"},
    "scoring": LOW | {"config", "store", "benchmarks", "report"},
    "synthetic": LOW,
    "preflight": LOW | {"config", "layouts", "readers", "store", "correction", "inputs", "holding", "sharing"},
    "making": LOW | {"config", "store", "models", "training", "data", "live"},
    "live": LOW,
    "planning": LOW
    | {
        "config",
        "layouts",
        "readers",
        "store",
        "qc",
        "models",
        "training",
        "embedding",
        "making",
        "preflight",
        "inputs",
        "snakemake_call",
        "job",
        "holding",
        "report",
    },
    "standing": LOW
    | {
        "config",
        "readers",
        "store",
        "correction",
        "models",
        "making",
        "stages",
        "preflight",
        "inputs",
        "snakemake_call",
        "sharing",
        "holding",
    },
    "stages": LOW
    | {
        "tables",
        "neighbors",
        "layouts",
        "making",
        "live",
        "config",
        "readers",
        "store",
        "qc",
        "measure",
        "models",
        "training",
        "data",
        "embedding",
        "correction",
        "benchmarks",
        "scoring",
        "report",
        "methods",
        "sharing",
    },
}
OUTSIDE = {
    "models": {"torch", "timm", "torchvision", "numpy", "safetensors"},
    "training": {"torch", "timm", "numpy", "safetensors"},
    "correction": {"numpy", "scipy", "pandas", "anndata", "sklearn"},
    "benchmarks": {"numpy", "scipy", "pandas", "anndata", "sklearn"},
}


def imports(path, package_root):
    """Yield the modules that a file imports, absolute."""
    tree = ast.parse(path.read_text())
    here = ["platemae", *path.relative_to(package_root).with_suffix("").parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = here[: -node.level] if node.level else []
            base = ".".join([*prefix, *([node.module] if node.module else [])])
            yield from ([f"{base}.{alias.name}" for alias in node.names] if base == "platemae" else [base])


def test_imports_go_one_way(project):
    root = project / "src/platemae"
    wrong = []
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).parts[0].removesuffix(".py")
        if room not in MAY_IMPORT:
            continue  # cli, console, job and run may reach everything
        for name in imports(path, root):
            parts = name.split(".")
            if parts[0] == "platemae" and len(parts) > 1 and parts[1] != room and parts[1] not in MAY_IMPORT[room]:
                if parts[1] != "__version__":
                    wrong.append(f"{path.relative_to(root)} imports {name}")
            allowed = OUTSIDE.get(room)
            if allowed and parts[0] not in allowed | {"platemae"} | sys.stdlib_module_names:
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert wrong == []


def test_every_room_of_the_package_has_its_rule(project):
    rooms = {
        path.name.removesuffix(".py") for path in (project / "src/platemae").iterdir() if not path.name.startswith("_")
    }
    assert rooms - set(MAY_IMPORT) == {"cli", "console", "job", "run"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["train-model", "--help"], ["build-map", "--help"]]
)
def test_help_imports_neither_torch_nor_scanpy(arguments):
    code = """
import sys
from platemae.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "scanpy", "numpy", "pandas", "anndata", "zarr", "snakemake"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_parsing_the_workflow_imports_nothing_heavy():
    code = """
import sys
import platemae.config, platemae.fingerprint, platemae.config.plates
heavy = {"torch", "scanpy", "pandas", "anndata", "zarr", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_job_that_a_rule_starts_builds_no_sections_of_the_configuration(tmp_path):
    code = """
import sys
from platemae.cli import main
arguments = ["correct-plate", "--model", "m", "--correction", "c", "--plate", "P", "--cfg", sys.argv[1], "--code", "x"]
assert main(arguments) == 2  # there is nothing to correct
assert "platemae.stages.correct_plate" in sys.modules
heavy = {"platemae.config.sections", "pydantic", "torch", "scanpy", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""
    cut = '{"correction": {"fit_on": "negcon", "kind": "tvn"}, "unit_plates": ["P"]}'
    done = subprocess.run([sys.executable, "-c", code, cut], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "m/P" in done.stderr
