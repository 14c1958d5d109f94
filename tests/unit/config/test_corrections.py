"""Corrections in the configuration: keys of each kind, what a job reads of them, wells that they are fitted on."""

from dataclasses import fields

import pytest

from platemae.config import Config, stage_config
from platemae.config.checks import needs_controls
from platemae.config.plates import Plate
from platemae.config.sections import CORRECTION_SETTINGS, CorrectionEntry
from platemae.config.slices import fit_name
from platemae.contracts import JOINT_CORRECTIONS, canonical
from platemae.correction.registry import REGISTRY, resolve
from platemae.errors import ConfigError

PLATES = [Plate(f"P{i}", f"B{i // 3}", "synthetic", "", "") for i in (1, 2, 3)]


def entry(kind: str, **values) -> CorrectionEntry:
    return CorrectionEntry(**({"name": "c", "kind": kind} | values))


def cut(stage: str, made: CorrectionEntry, **wildcards: str) -> dict:
    config = Config(corrections=[made, CorrectionEntry(name="other", kind="none")])
    names = {"model": "m"} | ({"correction": "c"} if stage != "summarize_controls" else {})
    return stage_config(config, PLATES, stage, **names, **wildcards)


@pytest.mark.parametrize("kind", REGISTRY)
def test_keys_and_defaults_are_those_of_the_class(kind: str) -> None:
    cls = resolve(kind)
    assert set(CORRECTION_SETTINGS[kind]) == {f.name for f in fields(cls.Settings)}
    assert cls.Settings(**entry(kind).settings) == cls.Settings()


def test_every_kind_has_its_keys() -> None:
    kinds = CorrectionEntry.model_fields["kind"].annotation.__args__
    assert set(kinds) == set(REGISTRY) == set(CORRECTION_SETTINGS)
    assert set(JOINT_CORRECTIONS) < set(REGISTRY)


@pytest.mark.parametrize(
    ("kind", "values", "word"),
    [
        ("centerscale", {"ridge": 0.1}, "ridge means nothing to kind centerscale"),
        ("none", {"few_controls": "pool"}, "few_controls means nothing to kind none"),
        ("tvn", {"per": "global", "epsilon": 1.0}, "epsilon, per means nothing to kind tvn"),
        ("harmony", {"fit_plates": ["P1"]}, "all plates at once"),
        ("harmony", {"basis": "x.npz"}, "all plates at once"),
        ("tvn", {"fit_plates": ["P1"], "basis": "x.npz"}, "leave fit_plates out"),
        ("none", {"basis": "x.npz"}, "no basis"),
        ("tvn", {"fit_on": "DMSO"}, "negcon or all"),
        ("sphere", {"method": "svd"}, "method"),
    ],
)
def test_what_means_nothing_is_refused(kind: str, values: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        entry(kind, **values)


def test_a_job_reads_just_the_keys_of_its_kind() -> None:
    """A default that is spelled out, or the key of another kind, changes no job."""
    assert cut("fit_correction", entry("centerscale", ridge=0.5)) == cut("fit_correction", entry("centerscale"))
    read = cut("fit_correction", entry("center", batch_unit="batch"))
    assert read["correction"] == {
        "kind": "center",
        "batch_unit": "batch",
        "fit_on": "negcon",
        "per": "batch",
        "few_controls": "error",
        "fit_plates": ["P1", "P2", "P3"],
    }
    assert read["unit_of"] == {"P1": "B0", "P2": "B0", "P3": "B1"}
    assert cut("correct_plate", entry("tvn", ridge=3.0), plate="P1") == cut("correct_plate", entry("tvn"), plate="P1")


def test_another_batch_name_fits_nothing_again_where_the_plate_is_the_unit() -> None:
    moved = [Plate(p.plate, "elsewhere", p.reader, p.path, p.layout) for p in PLATES]
    config = Config(corrections=[entry("tvn")])
    jobs = [stage_config(config, plates, "fit_correction", model="m", correction="c") for plates in (PLATES, moved)]
    assert canonical(jobs[0]) == canonical(jobs[1])


def test_wells_are_named_in_paths_and_found_again() -> None:
    query = "Metadata_Compound == 'DMSO'"
    made = entry("tvn", fit_on=query)
    name = fit_name(Config(corrections=[made]), "c")
    assert cut("summarize_controls", made, fit_on=name, plate="P1") == {"fit_on": query}
    assert cut("summarize_controls", made, fit_on="negcon", plate="P1") == {"fit_on": "negcon"}
    with pytest.raises(ConfigError, match="no correction is fitted on query-0"):
        cut("summarize_controls", made, fit_on="query-0", plate="P1")


def test_named_fit_plates_freeze_the_basis_for_later_ones() -> None:
    later = [*PLATES, Plate("P4", "B2", "synthetic", "", "")]
    for fit_plates, same in ((["P1", "P2"], True), ("all", False)):
        config = Config(corrections=[entry("tvn", fit_plates=fit_plates)])
        jobs = [stage_config(config, plates, "fit_correction", model="m", correction="c") for plates in (PLATES, later)]
        assert (jobs[0] == jobs[1]) is same


def test_a_basis_from_elsewhere_reads_no_plate() -> None:
    read = cut("fit_correction", entry("tvn", basis="old/{model}.npz"))
    assert (read["correction"]["basis"], read["correction"]["fit_plates"], read["unit_of"]) == ("old/m.npz", [], {})


def test_a_screen_without_controls_needs_none_where_nothing_is_fitted_on_them() -> None:
    profiles = {"models": [{"name": "t", "kind": "profiles", "source": "well_position"}]}
    assert needs_controls(Config())
    assert not needs_controls(Config(**profiles, corrections=[entry("tvn", fit_on="all"), entry("none", name="n")]))
    assert needs_controls(Config(**profiles, corrections=[entry("tvn")]))
