"""`platemae export-model`: a finished model as a folder for a hub."""

import json

import pytest
import torch

from platemae.cli import main
from platemae.models.interchange import read_checkpoint
from platemae.stages import train_model


def test_a_finished_model_becomes_a_folder_that_can_be_read_back(make_screen, train_cfg, tmp_path, capsys):
    results = make_screen()
    train_model.run(results, train_cfg("untrained"), model="m", threads=1)
    target = tmp_path / "hub"
    assert main(["export-model", "m", str(target), "--results", str(results.root)]) == 0
    assert capsys.readouterr().out.split() == [
        str(target / n) for n in ("model.safetensors", "config.json", "README.md")
    ]
    card = (target / "README.md").read_text()
    assert "`DNA (Hoechst)`, `Actin (Phalloidin)`" in card
    assert json.loads((target / "config.json").read_text())["intensity"]["pooled"]["DNA"] == [400.0, 9000.0]
    x = torch.rand(2, 2, 16, 16) * 255
    assert torch.equal(read_checkpoint(target).module.embed(x), read_checkpoint(results.model("m")).module.embed(x))


@pytest.mark.parametrize(("model", "problem"), [("other", "facts are gone"), ("m", "onto itself")])
def test_what_cannot_be_exported_ends_with_exit_code_2(make_screen, train_cfg, capsys, model, problem):
    results = make_screen()
    train_model.run(results, train_cfg("untrained"), model="m", threads=1)
    assert main(["export-model", model, str(results.model("m")), "--results", str(results.root)]) == 2
    assert problem in capsys.readouterr().err
