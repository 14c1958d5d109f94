"""Pydantic sections of the configuration, one class a stage or list entry; they generate schema and config.yaml."""

from platemae.config.sections.benchmarks import Benchmark, BenchmarkEntry, benchmark_entry
from platemae.config.sections.corrections import CORRECTION_SETTINGS, CorrectionEntry
from platemae.config.sections.embedding import EmbedSection
from platemae.config.sections.maps import MapSection, ReportSection
from platemae.config.sections.models import MODEL_KINDS, ModelEntry, Snapshot
from platemae.config.sections.plates import IngestSection, LayoutsSection, ReaderEntry
from platemae.config.sections.quality import FEATURE_GROUPS, QC_MEASURES, IntensityEntry, MeasureSection, QcSection
from platemae.config.sections.training import DatasetEntry, TrainSection
from platemae.config.sections.whole import LIST_SECTIONS, Config, plate_lists

__all__ = [
    "CORRECTION_SETTINGS",
    "FEATURE_GROUPS",
    "LIST_SECTIONS",
    "MODEL_KINDS",
    "QC_MEASURES",
    "Benchmark",
    "BenchmarkEntry",
    "Config",
    "CorrectionEntry",
    "DatasetEntry",
    "EmbedSection",
    "IngestSection",
    "IntensityEntry",
    "LayoutsSection",
    "MapSection",
    "MeasureSection",
    "ModelEntry",
    "QcSection",
    "ReaderEntry",
    "ReportSection",
    "Snapshot",
    "TrainSection",
    "benchmark_entry",
    "plate_lists",
]
