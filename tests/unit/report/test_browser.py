"""What the page's script gets: arrays, texts and pictures, read back as JavaScript would."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS
from platemae.layout import Results
from platemae.report import browser as browser_module
from platemae.report.blocks import Page, Section
from platemae.report.browser import browser, row_unit
from platemae.report.browser_points import Points, View
from platemae.report.browser_thumbnails import EDGE, Album, Spot, spots_of
from platemae.report.packed import TOP, coded, steps
from platemae.report.page import files_of, render
from platemae.report.source import Source
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

HOSTILE = "</script><script>alert(1)</script>"
CHANNELS = ("Mito", "DNA", "Brightfield", "ER", "Actin")
FIELDS = ("A/1/0", "A/1/1", "A/2/0", "A/2/1")


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_coordinates_come_back_within_a_step_and_missing_ones_as_missing():
    values = np.random.default_rng(0).normal(0, 50, 500)
    values[7] = np.nan
    sent = steps(values)
    codes = unpacked(sent["steps"], "<u2")
    back = sent["low"] + codes * (sent["high"] - sent["low"]) / TOP
    assert codes[7] == TOP + 1
    np.testing.assert_allclose(np.delete(back, 7), np.delete(values, 7), atol=(sent["high"] - sent["low"]) / TOP)
    assert set(unpacked(steps(np.array([3.0, 3.0]))["steps"], "<u2")) == {0}


@pytest.mark.parametrize(("count", "dtype"), [(5, "<u2"), (70_000, "<u4")])
def test_texts_come_back(count, dtype):
    names = [f"gene {i % count}" for i in range(70_001)]
    sent = coded(names)
    assert sent["wide"] == (dtype == "<u4")
    assert [sent["values"][code] for code in unpacked(sent["codes"], dtype)] == names


@pytest.fixture
def source(tmp_path) -> Source:
    """One plate of two wells with two fields; each field has a level of its own in each channel, the last QC failed."""
    results = Results(tmp_path)
    images = {group: np.full((5, 64, 64), 100 * place, np.uint16) for place, group in enumerate(FIELDS)}
    images["A/2/1"][1, :, 40:] = 1000  # DNA to the right
    sources = [FieldSource(group, group[-1], group, lambda x=x: x) for group, x in images.items()]
    channels = [StoreChannel(name, name) for name in CHANNELS]
    write_plate(results.store("P1"), "P1", sources, channels, 2.0, chunk_px=64, threads=1)
    made = IntensityMap("controls", "fixed", "dataset", CHANNELS, {}, dict.fromkeys(CHANNELS, (0.0, 1000.0)), {})
    results.intensity("controls").parent.mkdir()
    results.intensity("controls").write_text(json.dumps(made.to_json()))
    rows, qc = [], []
    for group in FIELDS:
        well, field = f"A{int(group[2]):02d}", group[-1]
        rows.append(["P1", "B1", well, field, 0, 0, group, "", "", "", "", "", "treatment"])
        failed = group == "A/2/0"
        qc.append(["P1", well, field, "DNA", *[1.0] * 9, "fail" if failed else "pass", "dark" if failed else ""])
    results.qc("P1").parent.mkdir()
    pd.DataFrame(rows, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields("P1"))
    pd.DataFrame(qc, columns=list(QC_COLUMNS)).to_parquet(results.qc("P1"))
    models = [{"name": "mae", "kind": "mae", "intensity": "controls"}]
    return Source(results, {"plates": ["P1", "P2"], "map_plates": ["P1", "P2"], "models": models})


def obs_of(wells, **more) -> pd.DataFrame:
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=[f"row {i}" for i in range(len(wells))])
    return obs.assign(Metadata_Plate="P1", Metadata_Well=wells, Metadata_Batch="B1", **more)


def test_a_well_shows_its_first_field_that_passed_and_a_field_or_cell_itself(source):
    groups = [spot.group if spot else None for spot in spots_of(source, obs_of(["A01", "A02", "B09"]))]
    assert groups == ["A/1/0", "A/2/1", None]
    fields = spots_of(source, obs_of(["A01", "A02"], Metadata_Site=["1", "0"]))
    assert [spot.group for spot in fields] == ["A/1/1", "A/2/0"]
    (cell,) = spots_of(source, obs_of(["A02"], Metadata_Site=["1"], Metadata_Y_px=[3.0], Metadata_X_px=[60.0]))
    assert cell == Spot("P1", "B1", "A/2/1", 3.0, 60.0)


def test_three_stains_are_painted_on_the_frozen_map(source):
    painter = Album(source).painters["P1"]
    assert painter.stains == [("DNA", "#0072B2"), ("Actin", "#E69F00"), ("Mito", "#009E73")]
    pixel = painter(Spot("P1", "B1", "A/1/1"))[10, 10]  # 100 of 1000 in each: a tenth of the three colours together
    whole = np.array([[0, 114, 178], [230, 159, 0], [0, 158, 115]])
    expected = (whole / whole.max(axis=1, keepdims=True) * 25.5).sum(axis=0)
    np.testing.assert_allclose(pixel, expected, atol=1)


def test_a_cell_is_in_the_middle_of_its_picture(source):
    painter = Album(source).painters["P1"]
    left, right = (painter(Spot("P1", "B1", "A/2/1", 32.0, x))[:, :, 2].astype(int) for x in (0.0, 63.0))
    assert left[:, -1].mean() > left[:, 0].mean() + 50  # the window starts at the field's edge
    assert right.mean() > left.mean()


def test_a_plate_without_its_store_has_no_pictures_and_a_lost_field_is_grey(source):
    album = Album(source)
    assert list(album.painters) == ["P1"]
    assert (album.painters["P1"](Spot("P1", "B1", "Z/9/9")) == 128).all()


def test_a_plate_with_no_channel_of_the_map_has_no_pictures(source):
    other = IntensityMap("controls", "fixed", "dataset", ("RNA",), {}, {"RNA": (0.0, 1000.0)}, {})
    source.results.intensity("controls").write_text(json.dumps(other.to_json()))
    assert Album(source).painters == {}


def points(wells, **more) -> Points:
    xy = np.random.default_rng(0).normal(size=(len(wells), 2))
    return Points("mae", obs_of(wells, **more), 900, len(wells), [View("before", xy, 2 * xy, (0.5, 0.25))], [])


def test_rows_columns_and_pictures_come_back_and_names_are_no_markup(source):
    genes = [HOSTILE, "TP53", HOSTILE]
    block = browser(Album(source), [points(["A01", "A02", "B09"], Metadata_Gene=genes)])
    html = render("Screen", [Page("embeddings", "Embeddings", [Section("embeddings", "Embeddings", [block])])])
    assert "alert(1)</script>" not in html
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.S)
    data = json.loads(text)
    (table,) = data["tables"]
    columns = {column["name"]: column for column in table["columns"]}
    assert list(columns) == ["plate", "well", "batch", "gene"]
    assert [columns["gene"]["values"][code] for code in unpacked(columns["gene"]["codes"], "<u2")] == genes
    assert unpacked(table["pictures"], "<i4").tolist() == [0, 1, -1]
    (model,) = data["models"]
    assert (model["total"], model["views"][0]["PCA"]["axes"][0]) == (900, "PC 1 (50.0% of the variance)")
    (sheet,) = data["pictures"]["sheets"]
    image = Image.open(io.BytesIO(base64.b64decode(sheet["source"].partition(",")[2])))
    assert image.size == (2 * EDGE, EDGE)


def test_pictures_beyond_the_limit_lie_beside_the_page(source, monkeypatch):
    monkeypatch.setattr(browser_module, "INLINE_PICTURES", 1)
    block = browser(Album(source), [points(["A01", "A02"])])
    inline, beside = block.data["pictures"]["sheets"]
    assert inline["source"].startswith("data:image/webp;base64,")
    ((name, content),) = files_of([Page("e", "E", [Section("e", "E", [block])])]).items()
    assert beside["source"] == f"files/{name}"
    assert Image.open(io.BytesIO(content)).size == (EDGE, EDGE)
    assert sorted([*unpacked(inline["pictures"], "<i4"), *unpacked(beside["pictures"], "<i4")]) == [0, 1]


def test_models_of_the_same_rows_share_one_table(source):
    first, second = points(["A01", "A02"]), points(["A01", "A02"])
    other = points(["A01"])
    data = browser(Album(source), [first, second, other]).data
    assert [model["table"] for model in data["models"]] == [0, 0, 1]
    assert len(data["tables"]) == 2


def test_a_row_is_called_what_it_is():
    assert row_unit(obs_of(["A01"])) == "well"
    assert row_unit(obs_of(["A01"], Metadata_Site=["0"])) == "field"
    assert row_unit(obs_of(["A01"], Metadata_Site=["0"], Metadata_Tile=["3"])) == "crop"
    assert row_unit(obs_of(["A01"], Metadata_Site=["0"], Metadata_Cell=["3"])) == "cell"
