"""A model while it is made: what it is, what it learns from, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from platemae.data.dataset import TrainingSet
from platemae.data.labels import Labels
from platemae.training import distributed
from platemae.training.settings import TrainSettings

VALIDATION_CROPS = 128


@dataclass
class Model:
    """A model being made: what it is, what it learns from, and what became of it."""

    entry: dict[str, Any]
    settings: TrainSettings
    data: TrainingSet
    module: Any
    validation: list[np.ndarray]
    labels: Labels | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    diverged_at: int | None = None
    """Steps that were taken when the loss was no longer finite, where that ended the training."""

    @property
    def masks(self) -> bool:
        """Whether the network learns from masked crops."""
        return hasattr(self.module, "noise_sizes")


def device(settings: TrainSettings) -> torch.device:
    """Return where one process makes a model that is not trained step by step."""
    return distributed.choose_device(settings.device, distributed.Ranks())
