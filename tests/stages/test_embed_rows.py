"""embed_plate: rows of every kind, several poolings, pixel sizes, batches, threads and processes."""

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from platemae.contracts import CELLS_COLUMNS, FIELDS_COLUMNS, OBS_COLUMNS
from platemae.data.dataset import open_plate
from platemae.embedding.resample import resample
from platemae.embedding.tiling import tile_field
from platemae.errors import ConfigError, InputError
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.stages.embed_plate import run
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("Actin", "Phalloidin"))
SIZE = 48
PLACES = ((3.0, 5.5), (20.25, 20.0), (24.0, 31.0), (47.0, 0.0))
"""y and x of the cells of each field: the first and the last have crops that leave it."""


@pytest.fixture
def results(make_screen, write_model_of) -> Results:
    results = make_screen()
    write_model_of(results)
    add_cells(results)
    return results


def add_cells(results: Results, plate: str = "P1", scale: float = 1.0) -> pd.DataFrame:
    """Four cells in each field of wells A01 to B01; guides are dealt in turn, every third is a control."""
    fields, rows = pd.read_parquet(results.fields(plate)), []
    for field in fields[fields["well"] != "B02"].itertuples():
        for k, (y, x) in enumerate(PLACES):
            guide = ("NTC", "G1_g1", "G2_g1")[(len(rows) + k) % 3]
            labels = [guide, guide[:2] if guide != "NTC" else "", "", "", "negcon" if guide == "NTC" else "treatment"]
            place = ((y + 0.5) * scale - 0.5, (x + 0.5) * scale - 0.5)
            rows.append([plate, field.batch, field.well, field.field, field.group, str(k + 1), *place, *labels])
    cells = pd.DataFrame(rows, columns=list(CELLS_COLUMNS))
    cells.to_parquet(results.cells(plate))
    return cells


def embed(results: Results, plate: str = "P1", threads: int = 1, processes: int = 1, **embed):
    cfg = {"embed": {"batch": 16} | embed, "exclude_failed": True}
    manifest = run(results, cfg, model="m", plate=plate, threads=threads, processes=processes)
    return manifest, anndata.read_h5ad(results.embedding("m", plate))


def eye(results: Results, plate: str = "P1"):
    """Return the network, and a function that reads a field as it sees it."""
    module, facts = load_model(results.model("m"))
    source = open_plate(results, plate, "b1", CHANNELS, IntensityMap.from_json(facts["intensity"]), "test")

    def vectors(crops: np.ndarray, pooling: str = "mean") -> np.ndarray:
        with torch.inference_mode():
            return module.embed(torch.from_numpy(np.ascontiguousarray(crops)), pooling).numpy()

    return vectors, source.read_field


def test_crops_and_fields_equal_a_slow_loop(results):
    vectors, read = eye(results)
    manifest, crops = embed(results, rows="crop")
    fields = embed(results, rows="field")[1]
    wells = embed(results)[1]
    tiles = tile_field(SIZE, SIZE, 16, "overlap")
    table = pd.read_parquet(results.fields("P1"))
    assert list(crops.obs.columns) == [*OBS_COLUMNS, "Metadata_Tile", "Metadata_Y_px", "Metadata_X_px"]
    assert list(fields.obs.columns) == [*OBS_COLUMNS, "n_tiles"]
    assert manifest.counts["rows"] == "crop"
    assert manifest.counts["n_rows"] == len(crops) == manifest.counts["tiles"] == 8 * 9
    for f, row in enumerate(table.itertuples()):
        one_by_one = np.concatenate([vectors(tile[None]) for tile in tiles.cut(read(row.group))])
        mine = crops[f * 9 : f * 9 + 9]
        np.testing.assert_allclose(mine.X, one_by_one, rtol=1e-4, atol=1e-5)
        assert list(mine.obs_names) == [f"P1_{row.well}_{row.field}_{t}" for t in range(9)]
        assert (mine.obs["Metadata_Site"] == row.field).all()
        assert (mine.obs["Metadata_Perturbation"] == row.perturbation).all()
        centres = np.array(tiles.origins) + 7.5
        np.testing.assert_allclose(mine.obs[["Metadata_Y_px", "Metadata_X_px"]], centres)
        np.testing.assert_allclose(fields.X[f], one_by_one.mean(0), rtol=1e-4, atol=1e-5)
        assert fields.obs_names[f] == f"P1_{row.well}_{row.field}"
    np.testing.assert_allclose(wells.X, fields.X.reshape(4, 2, -1).mean(1), rtol=1e-4, atol=1e-5)


def test_rows_follow_wells_and_the_table_whatever_its_order(results):
    before = embed(results, rows="crop")[1]
    fields = pd.read_parquet(results.fields("P1"))
    shuffled = fields.iloc[[4, 0, 6, 2, 5, 1, 7, 3]]  # wells mixed, fields of a well as they were
    shuffled.to_parquet(results.fields("P1"))
    after = embed(results, rows="crop")[1]
    assert list(after.obs_names) == list(before.obs_names)
    np.testing.assert_allclose(after.X, before.X, atol=1e-5)


def slow_cell(field_CHW: np.ndarray, y: float, x: float) -> np.ndarray:
    padded = np.pad(field_CHW, ((0, 0), (20, 20), (20, 20)), mode="reflect")
    top, left = (int(np.floor(at - 7.5 + 0.5)) + 20 for at in (y, x))
    return padded[:, top : top + 16, left : left + 16]


@pytest.mark.parametrize("border", ["reflect", "drop"])
def test_cells_equal_a_slow_loop(results, write_plate_of, border):
    write_plate_of(results, "P1", seed=1, failed={("A02", "1")})
    listed = add_cells(results)
    vectors, read = eye(results)
    manifest, data = embed(results, rows="cell", cell_border=border)
    kept = listed[~((listed["well"] == "A02") & (listed["field"] == "1"))]
    inside = kept[kept["cell"].isin(["2", "3"])]
    rows = kept if border == "reflect" else inside
    assert list(data.obs.columns) == [*OBS_COLUMNS, "Metadata_Cell", "Metadata_Y_px", "Metadata_X_px"]
    for (name, obs), x, row in zip(data.obs.iterrows(), data.X, rows.itertuples(), strict=True):
        expected = vectors(slow_cell(read(row.group), row.y, row.x)[None])[0]
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)
        assert name == f"P1_{row.well}_{row.field}_{row.cell}"
        said = (row.perturbation, row.gene, row.control_type, row.y, row.x)
        keys = ("Perturbation", "Gene", "Control_Type", "Y_px", "X_px")
        assert said == tuple(obs[f"Metadata_{key}"] for key in keys)
    assert manifest.counts["cells"] == len(rows)
    assert manifest.counts["cells_at_border"] == len(kept) - len(inside)
    assert manifest.counts["cells_dropped"] == len(kept) - len(rows)
    assert manifest.counts["cells_excluded"] == 4
    assert any("1 wells have no cell that is embedded: B02" in w for w in manifest.warnings)
    assert any("at the border are left out" in w for w in manifest.warnings) == (border == "drop")


def test_masked_neighbours_no_longer_matter(results):
    """What lies around the neighbour of a cell changes its vector, and no longer does when it is masked."""
    drawn: dict[bool, dict[bool, np.ndarray]] = {}
    for mask in (False, True):
        drawn[mask] = {}
        for bright in (False, True):
            source = FieldSource("A/1/0", "0", "A01 0", lambda bright=bright: two_cells(bright))
            write_plate(results.store("P1"), "P1", [source], CHANNELS, 0.5, chunk_px=32, threads=1)
            fields = pd.read_parquet(results.fields("P2")).iloc[:1].assign(plate="P1")
            fields.to_parquet(results.fields("P1"))
            pd.read_parquet(results.qc("P2")).iloc[:2].assign(plate="P1").to_parquet(results.qc("P1"))
            row = ["P1", "b1", "A01", "0", "A/1/0"]
            label = ["g", "G", "", "", "treatment"]
            cells = [[*row, "1", 24.0, 18.0, *label], [*row, "2", 24.0, 28.0, *label]]
            pd.DataFrame(cells, columns=list(CELLS_COLUMNS)).to_parquet(results.cells("P1"))
            drawn[mask][bright] = embed(results, rows="cell", mask_neighbours=mask)[1].X[0]
    assert np.abs(drawn[False][True] - drawn[False][False]).max() > 1e-2
    np.testing.assert_allclose(drawn[True][True], drawn[True][False], atol=1e-5)


def two_cells(bright: bool) -> np.ndarray:
    """Two discs; the right one, which reaches the left one's crop but not its ground, may be brighter."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    field = np.random.default_rng(0).normal(1000, 50, (2, SIZE, SIZE))
    field[:, (rows - 24) ** 2 + (columns - 18) ** 2 < 16] += 2000
    field[:, (rows - 24) ** 2 + (columns - 28) ** 2 < 16] += 5000 if bright else 2500
    return field.astype(np.uint16)


def test_plates_without_cells_and_cells_without_rows_are_told(results):
    with pytest.raises(ConfigError, match="plate P2 has no table of its cells"):
        embed(results, "P2", rows="cell")
    add_cells(results).iloc[[0, 3]].to_parquet(results.cells("P1"))
    with pytest.raises(
        InputError, match="no cell of the plate is left: 2 listed, 0 in fields left out, 2 at the border"
    ):
        embed(results, rows="cell", cell_border="drop")


def test_several_poolings_in_one_pass(results):
    plain = {name: embed(results, pooling=name)[1].X for name in ("cls", "mean", "block1")}
    manifest, data = embed(results, pooling=["cls", "mean", "block1"])
    assert set(data.obsm) == {"X_mean", "X_block1"}
    np.testing.assert_allclose(data.X, plain["cls"], atol=1e-6)
    for name in ("mean", "block1"):
        np.testing.assert_allclose(data.obsm[f"X_{name}"], plain[name], atol=1e-6)
    assert manifest.digest != embed(results, pooling=["cls", "mean"])[0].digest
    cells = embed(results, rows="cell", pooling=["mean", "cls"])[1]
    assert cells.obsm["X_cls"].shape == cells.X.shape
    with pytest.raises(ConfigError, match="model m has no pooling 'block3', 'channelwise'") as error:
        embed(results, pooling=["mean", "block3", "channelwise"])
    assert error.value.remedy == "Use mean, cls, block1 to block2."


VIT = {"crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2}
VIT |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
KINDS = {
    "mae": VIT,
    "camae": VIT | {"cross_heads": 2},
    "munet": {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 1, "norm_groups": 2},
    "wsl": {"crop_px": 16, "stem": 4, "growth": 4, "blocks": "1-1", "embedding": 12, "n_classes": 3},
    "pretrained": {"backbone": "vit_tiny_patch16_224", "crop_px": 32},
    "tile_pca": {"crop_px": 16, "tile_px": 8, "components": 4},
}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k == "pretrained")) for k in KINDS])
def test_batch_and_threads_move_nothing_but_rounding(results, write_model_of, kind):
    write_model_of(results, kind, **KINDS[kind])
    rows = "cell" if kind in ("mae", "wsl") else "crop"
    expected = embed(results, rows=rows, batch=64)[1].X
    assert np.abs(expected).max() > 1e-2
    for batch, threads in ((1, 1), (7, 4), (64, 4), (None, 1)):
        np.testing.assert_allclose(embed(results, rows=rows, batch=batch, threads=threads)[1].X, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rows", ["well", "cell"])
def test_two_processes_equal_one(results, rows):
    one, both = (embed(results, rows=rows, processes=n, threads=2, pooling=["mean", "cls"]) for n in (1, 2))
    assert list(both[1].obs_names) == list(one[1].obs_names)
    np.testing.assert_allclose(both[1].X, one[1].X, atol=1e-5)
    np.testing.assert_allclose(both[1].obsm["X_cls"], one[1].obsm["X_cls"], atol=1e-5)
    assert both[0].counts == one[0].counts


def halved(results: Results) -> None:
    """Plate P3 is plate P1 with pixels of half the edge: each of P1 is four equal ones."""
    store = PlateStore(results.store("P1"))

    def blocks(group: str) -> np.ndarray:
        x = store.read_field(group).astype(np.float64).repeat(2, 1).repeat(2, 2)
        return x.round().astype(np.uint16)

    fields = pd.read_parquet(results.fields("P1"))
    assert set(FIELDS_COLUMNS) <= set(fields)
    sources = [
        FieldSource(g, f, g, lambda g=g: blocks(g)) for g, f in zip(fields["group"], fields["field"], strict=True)
    ]
    write_plate(results.store("P3"), "P3", sources, CHANNELS, 0.25, chunk_px=32, threads=1)
    fields.assign(plate="P3").to_parquet(results.fields("P3"))
    pd.read_parquet(results.qc("P1")).assign(plate="P3").to_parquet(results.qc("P3"))
    add_cells(results, "P3", scale=2.0)


@pytest.mark.parametrize("rows", ["well", "cell", "crop"])
def test_a_plate_of_finer_pixels_is_brought_to_the_models(results, rows):
    """Each pixel of P1 is four of P3, so resampling gives P1 back: its vectors, cells and places."""
    halved(results)
    original = embed(results, rows=rows)[1]
    manifest, data = embed(results, "P3", rows=rows)
    np.testing.assert_allclose(data.X, original.X, atol=1e-4)
    ignored_manifest, ignored = embed(results, "P3", rows=rows, pixel_size="ignore")
    if rows != "crop":
        assert np.abs(ignored.X - original.X).max() > 100 * np.abs(data.X - original.X).max()
    assert manifest.counts["resampled"] == {"from_um": 0.25, "to_um": 0.5, "shape": [SIZE, SIZE]}
    assert not any("pixels of" in w for w in manifest.warnings)
    assert "resampled" not in ignored_manifest.counts
    assert any("pixels of 0.25 µm, the model was trained on 0.5 µm" in w for w in ignored_manifest.warnings)
    if rows != "well":
        at, here = (d.obs[["Metadata_Y_px", "Metadata_X_px"]].to_numpy() for d in (original, data))
        np.testing.assert_allclose(here, (at + 0.5) * 2 - 0.5)


def test_counts_are_resampled_before_they_are_clipped(results, write_model_of):
    write_model_of(results, pixel_size_um=1.0)
    vectors, _ = eye(results)
    facts = load_model(results.model("m"))[1]
    source = open_plate(results, "P1", "b1", CHANNELS, IntensityMap.from_json(facts["intensity"]), "test")
    data = embed(results, rows="field", tiling="overlap")[1]
    field = source.to_range(resample(source.pick(source.store.read_field("A/1/0")), (24, 24)))
    tiles = tile_field(24, 24, 16, "overlap").cut(field)
    np.testing.assert_allclose(data.X[0], vectors(tiles).mean(0), atol=1e-5)


def test_far_and_unknown_pixel_sizes(results, write_model_of):
    write_model_of(results, pixel_size_um=0.2)
    assert any("resampled by 2.5, details are missing" in w for w in embed(results)[0].warnings)
    write_model_of(results, pixel_size_um=None)
    with pytest.raises(ConfigError, match="pixel size of the model is not known"):
        embed(results)
    assert "states no pixel size" in embed(results, pixel_size="ignore")[0].warnings[0]
    assert embed(results, pixel_size=0.25)[0].counts["resampled"]["to_um"] == 0.25
