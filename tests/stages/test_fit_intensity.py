"""fit_intensity: the right fields of the right plates, the file, and what its digest means."""

import json

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.stages import fit_intensity
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("ER", "ConA"))
KINDS = {"A01": "negcon", "A02": "treatment", "B01": "negcon", "B02": "empty"}


def pixels(plate, well, field):
    rng = np.random.default_rng([ord(plate[-1]), ord(well[0]), int(well[1:]), field])
    brightness = {"negcon": 500, "treatment": 3000, "empty": 50}[KINDS[well]]
    return rng.gamma(3.0, brightness / 3, (2, 48, 48)).astype(np.uint16)


def add_plate(results, plate, batch, failed=(), kinds=KINDS):
    fields, qc, sources = [], [], []
    for well in KINDS:
        for f in (0, 1):
            group = f"{well[0]}/{int(well[1:])}/{f}"
            sources.append(FieldSource(group, str(f), group, lambda well=well, f=f: pixels(plate, well, f)))
            place = [plate, batch, well, str(f), well[0], int(well[1:]), group, ""]
            fields.append([*place, "g", "G", "", "", kinds[well]])
            verdict = "fail" if (well, f) in failed else "pass"
            qc += [
                [plate, well, str(f), c.name, 0.2, 0.0, 0.0, 0.5, 1.0, -1.5, 0.1, 0.0, 9.0, verdict, ""]
                for c in CHANNELS
            ]
    write_plate(results.store(plate), plate, sources, CHANNELS, 0.65, chunk_px=32, threads=1)
    results.qc(plate).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))
    pd.DataFrame(qc, columns=list(QC_COLUMNS)).to_parquet(results.qc(plate))


@pytest.fixture
def results(tmp_path):
    results = Results(tmp_path / "results")
    for plate, batch in (("P1", "b1"), ("P2", "b1"), ("P3", "b2")):
        add_plate(results, plate, batch, failed=[("B01", 1)] if plate == "P1" else ())
    return results


def run(results, name="controls", threads=2, **changes):
    entry = {
        "name": name,
        "kind": "quantile",
        "scope": "batch",
        "fit_on": "negcon",
        "fit_plates": ["P1", "P2", "P3"],
        "quantiles": [0.01, 0.99],
        "limits": [0.0, 255.0],
    }
    return fit_intensity.run(results, {"intensity": entry | changes}, intensity=name, threads=threads)


def of(plates, wells, channel, leave_out=()):
    parts = [pixels(p, w, f)[channel] for p in plates for w in wells for f in (0, 1) if (p, w, f) not in leave_out]
    return np.concatenate([part.ravel() for part in parts])


def test_the_map_is_fitted_on_control_fields_that_passed(results):
    manifest = run(results)
    value = json.loads(results.intensity("controls").read_text())
    seen = of(("P1", "P2"), ("A01", "B01"), 1, leave_out=[("P1", "B01", 1)])
    np.testing.assert_allclose(value["maps"]["b1"]["ER"], np.quantile(seen, (0.01, 0.99)), rtol=1e-12)
    np.testing.assert_allclose(
        value["maps"]["b2"]["DNA"], np.quantile(of(("P3",), ("A01", "B01"), 0), (0.01, 0.99)), rtol=1e-12
    )
    assert value["unit_of"] == {"P1": "b1", "P2": "b1", "P3": "b2"}
    assert value["channels"] == ["DNA", "ER"]
    assert manifest.counts["fields"] == {"P1": 3, "P2": 4, "P3": 4}
    assert set(manifest.counts["clipped"]) == set(manifest.counts["grey_levels"]) == {"DNA", "ER"}
    assert all(0.005 < share < 0.015 for ends in manifest.counts["clipped"].values() for share in ends)
    assert all(150 < levels <= 256 for levels in manifest.counts["grey_levels"].values())
    assert manifest.warnings == []
    assert IntensityMap.read(results.intensity("controls")).kind == "quantile"


def test_fit_on_all_takes_every_well_but_empty_ones(results):
    run(results, fit_on="all", scope="dataset", fit_plates=["P2"])
    fitted = IntensityMap.read(results.intensity("controls"))
    seen = of(("P2",), ("A01", "A02", "B01"), 0)
    np.testing.assert_allclose(fitted.pooled["DNA"], np.quantile(seen, (0.01, 0.99)), rtol=1e-12)


def test_the_digest_means_the_map_alone(results):
    first = run(results)
    assert run(results, name="renamed", threads=1).digest == first.digest
    assert run(results, quantiles=[0.02, 0.99]).digest != first.digest
    assert run(results, fit_plates=["P1", "P2"]).digest != first.digest


def test_labels_of_treatments_leave_the_map_as_it_is(results):
    first = run(results)
    table = pd.read_parquet(results.fields("P1"))
    table.loc[table["well"] == "A02", "perturbation"] = "renamed"
    table.to_parquet(results.fields("P1"))
    assert run(results).digest == first.digest


def test_no_control_in_the_fit_plates(results):
    add_plate(results, "P1", "b1", kinds=KINDS | {"A01": "treatment", "B01": "treatment"})
    manifest = run(results, scope="plate")
    assert manifest.warnings == ["plate P1 has no negcon field that passed QC: pooled limits"]
    with pytest.raises(ConfigError, match="no negcon field passed QC on any fit plate"):
        run(results, fit_plates=["P1"])


def test_the_manifest_names_the_worst_unit_of_each_channel(results):
    manifest = run(results, kind="fixed", limits=[0.0, 65535.0], scope="plate")
    assert manifest.counts["clipped"] == {"DNA": [0.0, 0.0], "ER": [0.0, 0.0]}
    value = json.loads(results.intensity("controls").read_text())
    fewest = min(unit["ER"] for unit in value["levels"].values())
    assert manifest.counts["grey_levels"]["ER"] == fewest < 32
    assert f"P1, channel ER: {value['levels']['P1']['ER']} of 256 grey levels are left, fewer than 32" in (
        manifest.warnings
    )
