"""Which networks have random weights, and which of them are built like a trained one."""

import json
from pathlib import Path

from platemae.layout import Results
from platemae.report.source import Source

VIT, UNET, STAINS = {"width": 8}, {"base": 4}, [{"name": "DNA", "stain": "Hoechst"}]


def network(root: Path, name: str, kind: str, steps: int | None, architecture: dict, channels: list = STAINS) -> dict:
    folder = Results(root).model(name)
    folder.mkdir(parents=True)
    facts = {"kind": kind, "architecture": architecture, "channels": channels, "training": {"steps": steps}}
    (folder / "model.json").write_text(json.dumps(facts))
    return {"name": name, "kind": kind}


def test_the_floor_of_a_network_is_the_same_network_with_random_weights(tmp_path: Path) -> None:
    models = [
        network(tmp_path, "mae", "mae", 100, VIT),
        network(tmp_path, "munet", "munet", 100, UNET),
        network(tmp_path, "zero", "untrained", 0, VIT),
        network(tmp_path, "munet_zero", "munet", 0, UNET),
        network(tmp_path, "wide_zero", "untrained", 0, {"width": 16}),
        network(tmp_path, "other_stains", "untrained", 0, VIT, [{"name": "ER", "stain": "ConA"}]),
        network(tmp_path, "camae", "camae", 100, VIT),
        {"name": "means", "kind": "profiles"},
        {"name": "not_run", "kind": "mae"},
    ]
    source = Source(Results(tmp_path), {"models": models})
    assert source.untrained == ["zero", "munet_zero", "wide_zero", "other_stains"]
    assert source.twins("mae") == ["zero"]
    assert source.twins("munet") == ["munet_zero"]
    assert source.twins("camae") == []  # numbers alike, another kind
    assert source.twins("not_run") == source.twins("means") == []
