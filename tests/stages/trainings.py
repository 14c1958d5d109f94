"""A training of the tiny screen, and what it leaves in its state folder."""

import json
from pathlib import Path

import pytest
import torch

from platemae.contracts import Manifest
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.stages.train_model import run

RUN = """
import json, sys
from pathlib import Path
from platemae.layout import Results
from platemae.stages.train_model import run
print(run(Results(Path(sys.argv[1])), json.loads(sys.argv[2]), model="m", threads=1, code="code").digest)
"""


def train(results: Results, cfg: dict, model: str = "m", code: str = "code", **more) -> Manifest:
    return run(results, cfg, model=model, threads=1, code=code, **more)


def states(results: Results) -> list[Path]:
    return sorted((results.root / "models" / ".state").iterdir())


def weights(results: Results, model: str = "m") -> dict[str, torch.Tensor]:
    return load_model(results.model(model))[0].state_dict()


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


def verdict(results: Results) -> dict:
    return json.loads((states(results)[0] / "verdict.json").read_text())
