"""The packages run on a bare GPU node: importing them pulls in torch and numpy, nothing heavier."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import platemae.models
import platemae.training

FORBIDDEN = ("pandas", "zarr", "pydantic", "anndata", "timm", "torchvision", "yaml", "scipy", "sklearn", "snakemake")
MODULES = sorted(
    f"{package.__name__}.{module.name}"
    for package in (platemae.models, platemae.training)
    for module in pkgutil.iter_modules(package.__path__)
)


def _loaded_after(code: str) -> set[str]:
    ask = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    return set(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.split())


def test_importing_everything_stays_light() -> None:
    loaded = _loaded_after("\n".join(f"import {name}" for name in MODULES))
    assert "torch" in loaded
    assert not loaded & set(FORBIDDEN)


def test_settings_and_registry_do_without_torch() -> None:
    code = "import platemae.models.settings, platemae.models.registry, platemae.training.settings"
    assert "torch" not in _loaded_after(code)


def test_timm_comes_through_the_gate() -> None:
    loaded = _loaded_after("from platemae.models.timm_gate import lion_class\nassert lion_class().__name__ == 'Lion'")
    assert "timm" in loaded
