"""What the ingest of a plate depends on beside its images, and readers by their kind."""

import gc

import pytest

from platemae.config.sections import ReaderEntry
from platemae.errors import ConfigError
from platemae.readers.detect import METADATA, SHARED, inputs_of, metadata_of
from platemae.readers.registry import REGISTRY, resolve


@pytest.mark.parametrize(
    ("kind", "names", "wanted"),
    [
        ("cellvoyager", ["MeasurementData.mlf", "MeasurementDetail.mrf", "assay.mes", "a_T0001.tif"], 3),
        ("cellvoyager", ["MeasurementData.mlf"], 1),
        ("ome_tiff", ["p.companion.ome", "a.ome.tif"], 1),
        ("operetta", ["Index.idx.xml", "Index.xml", "r01c01.tiff"], 1),
        ("pattern", ["a.tif"], 0),
    ],
)
def test_the_inputs_are_all_files_that_facts_are_read_from(tmp_path, kind, names, wanted):
    for name in names:
        (tmp_path / name).touch()
    assert inputs_of(kind, tmp_path) == [tmp_path / name for name in names[:wanted]]
    assert set(metadata_of(kind, tmp_path)) <= set(inputs_of(kind, tmp_path))


def test_every_reader_of_the_configuration_is_there():
    kinds = set(ReaderEntry.model_fields["kind"].annotation.__args__)
    assert kinds == {*REGISTRY, "none"}
    assert {*METADATA, *SHARED} <= kinds
    with pytest.raises(ConfigError, match="unknown reader 'flex'"):
        resolve("flex")


@pytest.mark.parametrize("was_on", [True, False])
def test_an_inventory_leaves_the_garbage_collector_as_it_was_even_after_an_error(tmp_path, was_on):
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with pytest.raises(FileNotFoundError):
            resolve("operetta")(tmp_path, {"name": "x"})
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()
