"""The configuration: pydantic sections, plates.tsv, layout tables, and what each stage reads of them."""

from platemae.config.load import load_config, read_config
from platemae.config.machine import machine_config, with_machine
from platemae.config.sections import Config
from platemae.config.slices import stage_config, stage_entries

__all__ = [
    "Config",
    "load_config",
    "machine_config",
    "read_config",
    "stage_config",
    "stage_entries",
    "with_machine",
]
