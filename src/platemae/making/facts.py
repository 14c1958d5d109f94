"""What ``model.json`` says of a model beside its architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from platemae.layout import Results
from platemae.making.files import LOSSES
from platemae.making.model import Model
from platemae.making.stability import stability
from platemae.models.flops import counted_flops
from platemae.models.normalise import standardise
from platemae.store.intensity_map import IntensityMap


def facts_of(results: Results, model: Model) -> dict[str, Any]:
    """Return what ``model.json`` says beside the architecture."""
    data, module, settings = model.data, model.module, model.settings
    last = model.history[-1] if model.history else {}
    steps = int(last.get("step", 0)) if model.diverged_at is None else model.diverged_at
    power_K = torch.cat([standardise(torch.from_numpy(x)).square().mean((1, 2, 3)) for x in model.validation])
    training: dict[str, Any] = {
        "steps": steps,
        "crops": steps * settings.global_batch,
        "parameters": sum(p.numel() for p in module.parameters()) or sum(b.numel() for b in module.buffers()),
        "flops": step_flops(model) * steps,
        "train_fields": len(data.train.fields),
        "validation_fields": len(data.validation.fields),
        "input_variance": float(power_K.mean()),
    }
    known = {name: last[name] for name in (*LOSSES, "seconds") if last.get(name) is not None}
    training |= {name: value for name, value in known.items() if np.isfinite(value)}
    if "val_mse" in training:
        training["val_mse_share"] = training["val_mse"] / training["input_variance"]
    return {
        "kind": model.entry["kind"],
        "channels": [{"name": c.name, "stain": c.stain} for c in data.channels],
        "pixel_size_um": data.pixel_size_um,
        "intensity": IntensityMap.read(results.intensity(model.entry["intensity"])).to_json(),
        "dataset": model.entry["dataset"],
        "plates": list(data.plates),
        "settings": settings.identity(),
        **({} if model.labels is None else {"labels": _label_facts(model)}),
        "training": training | model.extra | stability(model.history, model.diverged_at),
    }


def _label_facts(model: Model) -> dict[str, Any]:
    assert model.labels is not None
    return {"of": model.entry["label"], "domain": model.entry["domain"], "classes": list(model.labels.classes)}


def step_flops(model: Model) -> int:
    """Return the operations of one step: forward, and about twice that backward."""
    if not model.masks:
        return 0
    module, settings = model.module, model.settings
    closed_form = getattr(module, "forward_flops", None)
    forward = closed_form(settings.mask_ratio) if closed_form else counted_flops(module)
    return 3 * forward * settings.global_batch
