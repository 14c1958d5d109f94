"""A trained network as a folder for a model hub: ``model.safetensors``, ``config.json`` and a model card.

``config.json`` says all that ``model.json`` says: the folder can be read back as a model of kind ``checkpoint``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from platemae.errors import ContractError
from platemae.models.export import WEIGHTS, load_model
from platemae.models.interchange import CONFIG

CARD = "README.md"
_FRONT = """---
library_name: platemae
pipeline_tag: image-feature-extraction
tags:
- platemae
- microscopy
- high-content-screening
- {kind}
---
"""


def export_model(source: Path, target: Path) -> list[Path]:
    """Copy a model into a folder that a hub takes.

    Parameters
    ----------
    source
        Folder of a finished model.
    target
        Made when absent; files of an earlier export are replaced.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    MissingError
        If the model is not there.
    ContractError
        If it is damaged, or the target is the model's own folder.
    """
    if source.resolve() == target.resolve():
        raise ContractError("a model cannot be exported onto itself", str(target), "Name another folder.")
    module, facts = load_model(source)
    target.mkdir(parents=True, exist_ok=True)
    written = [target / name for name in (WEIGHTS, CONFIG, CARD)]
    parts = [path.with_name(f".{path.name}.{os.getpid()}") for path in written]
    try:
        shutil.copyfile(source / WEIGHTS, parts[0])
        config = facts | {"model_type": "platemae", "library_name": "platemae"}
        parts[1].write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        count = sum(value.numel() for value in module.state_dict().values())
        parts[2].write_text(_card(source.name, facts, count), encoding="utf-8")
        for part, path in zip(parts, written, strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return written


def _card(name: str, facts: dict[str, Any], count: int) -> str:
    """Return the model card; texts from the facts stand in code spans, where they mean nothing."""
    channels = ", ".join(_code(f"{c['name']} ({c['stain']})") for c in facts.get("channels", []))
    rows = {
        "kind": _code(facts["kind"]),
        "values in the weights": f"{count:,}",
        "channels, in this order": channels or "not recorded",
        "crop": f"{facts['architecture'].get('crop_px', '?')} pixels",
        "pixel size": f"{facts['pixel_size_um']} µm" if facts.get("pixel_size_um") else "not recorded",
        "trained on dataset": _code(facts.get("dataset", "not recorded")),
        "crops seen": f"{facts.get('training', {}).get('crops', 'not recorded')}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    return f"""{_FRONT.format(kind=facts["kind"])}
# {_code(name)}

Embeds crops of multi-channel microscopy images. Made by platemae.

| | |
|---|---|
{table}

## Input

Float or uint8 crops, batch x channels x height x width, on the scale 0 to 255; the network standardises each channel of
each crop by itself. `config.json` holds the map from the training plates' values to that scale (`intensity`), the
architecture and the training settings; it names the training plates.

## Use

```yaml
models:
  - {{name: imported, kind: checkpoint, file: path/to/this/folder, dataset: screen, intensity: controls}}
```

## Licence and limits

{_origin(facts)}
"""


def _origin(facts: dict[str, Any]) -> str:
    imported = facts.get("imported")
    if imported is None:
        return "Add the licence under which you publish these weights, and say what they must not be used for."
    return f"Imported from {_code(imported['file'])} (SHA-256 {_code(imported['sha256'])}): its licence holds."


def _code(text: Any) -> str:
    return "`" + str(text).replace("`", "'").replace("|", "/").replace("\n", " ") + "`"
