"""Write the conda environments of the rules from the lock: ``python envs/split.py``, the last step of `make lock`.

Each rule needs a part of what is locked. An environment names what the stages of its rules import; what these packages
need themselves is taken from their own metadata, so this runs where the whole lock is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parent
ANY_JOB = ("defusedxml", "numpy", "pandas", "psutil", "pydantic", "pyyaml", "rich-argparse", "shtab", "tqdm")
"""What the command line and every job import, whatever the stage."""
STORE = ("google-crc32c", "numcodecs", "pyarrow", "zarr")
ENVIRONMENTS = {
    "train": (*ANY_JOB, *STORE, "anndata", "safetensors", "scipy", "timm", "torch", "torchvision"),
    "analysis": (
        *ANY_JOB, *STORE, "anndata", "cp-measure", "dask[array]", "harmonypy", "igraph", "imagecodecs", "scanpy",
        "scikit-image", "scikit-learn", "scipy", "tifffile",
    ),
    "report": (
        *ANY_JOB, *STORE, "anndata", "bokeh", "igraph", "jinja2", "markupsafe", "matplotlib", "pillow", "scanpy",
        "scikit-learn", "scipy",
    ),
}  # fmt: skip
"""Environment -> what its stages import: train has the networks, report the pages and tables, analysis all the rest."""
WHOLE = ("platemae[slurm,classical,harmony,leiden]",)
"""What a login node needs, Snakemake included: all but the tools of development."""
HEAD = """\
# Written by `make lock` from lock.txt.
name: {name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip
  - pip:
"""
POST_DEPLOY = """\
#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new environment (--sdm conda): the package itself, from a checkout.
set -euo pipefail
python -m pip install --no-deps "${PLATEMAE_SOURCE:?set it to the folder of the checkout}"
"""


def locked() -> dict[str, str]:
    """Return package -> its line of the lock."""
    lines = (FOLDER / "lock.txt").read_text().split()
    return {canonicalize_name(line.partition("==")[0]): line for line in lines}


def closure(names: Iterable[str], pins: dict[str, str]) -> set[str]:
    """Return the packages that these need, themselves included.

    Parameters
    ----------
    names
        Requirements, extras in brackets.
    pins
        The lock; what it lacks is another platform's.
    """
    found: set[tuple[str, frozenset[str]]] = set()
    queue = [Requirement(name) for name in names]
    while queue:
        asked = queue.pop()
        package, extras = canonicalize_name(asked.name), frozenset(asked.extras)
        if (package, extras) in found or package not in pins:
            continue
        found.add((package, extras))
        for text in requires(package) or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                queue.append(need)
    return {package for package, _ in found}


def main() -> None:
    """Write an environment for each, with its post-deploy script, and ``platemae.yaml`` for the login node."""
    pins = locked()
    asked = {canonicalize_name(Requirement(each).name) for names in ENVIRONMENTS.values() for each in names}
    if asked - set(pins):
        raise SystemExit(f"not in lock.txt: {', '.join(sorted(asked - set(pins)))}")
    whole = closure(WHOLE, pins | {"platemae": ""})
    write("platemae", (line for package, line in pins.items() if package in whole))
    for name, names in ENVIRONMENTS.items():
        needed = closure(names, pins)
        write(f"platemae-{name}", (line for package, line in pins.items() if package in needed))
        (FOLDER / f"platemae-{name}.post-deploy.sh").write_text(POST_DEPLOY)


def write(name: str, lines: Iterable[str]) -> None:
    """Write one environment file of so many pins."""
    pins = "".join(f"      - {line}\n" for line in lines)
    (FOLDER / f"{name}.yaml").write_text(HEAD.format(name=name) + pins)


if __name__ == "__main__":
    main()
