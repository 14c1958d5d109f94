"""The synthetic screen: reproducible bytes, sound layouts, planted truth, and nuisances of a known form."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from platemae.errors import ConfigError, InputError
from platemae.synthetic import ScreenSettings, screen, write_screen
from platemae.synthetic.cells import assign_pixels, draw_field, make_cells
from platemae.synthetic.design import make_design, make_layout, relations
from platemae.synthetic.effects import PlateEffect, WellEffect, expose, plate_effect, well_effect
from platemae.synthetic.settings import CHANNELS, PHENOTYPE

SMALL = ScreenSettings(
    seed=5,
    plates=("P1", "P2"),
    batches=("B1", "B2"),
    rows=4,
    columns=5,
    negcon_wells=4,
    poscon_wells=2,
    fields_per_well=1,
    height=64,
    width=72,
    modules=2,
    genes_per_module=2,
    strengths=(1.0, 0.5),
    inactive_genes=2,
)
NOTHING = np.zeros(len(PHENOTYPE))


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="," if path.suffix == ".csv" else "\t"))


def phenotype(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in PHENOTYPE])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_screen(tmp_path_factory.mktemp("screen") / "small", SMALL, workers=1)


def test_bytes_do_not_depend_on_workers_or_run(small: Path, tmp_path: Path) -> None:
    assert contents(small) == contents(write_screen(tmp_path / "again", SMALL, workers=2))


def test_another_seed_is_another_screen(small: Path) -> None:
    other = dataclasses.replace(SMALL, seed=6)
    well = make_layout(SMALL, 0)[7]
    assert not np.array_equal(screen.draw_well(SMALL, 0, well, 0), screen.draw_well(other, 0, well, 0))
    assert [w.perturbation for w in make_layout(SMALL, 0)] != [w.perturbation for w in make_layout(other, 0)]
    assert SMALL.digest() != other.digest()


def test_a_field_drawn_alone_equals_the_written_one(small: Path) -> None:
    well = make_layout(SMALL, 1)[13]
    alone = screen.draw_well(SMALL, 1, well, 0)
    stem = f"r{well.row:02d}c{well.column:02d}f01"
    written = [tifffile.imread(small / f"plates/P2/Images/{stem}-ch{c}.tiff") for c in range(1, 7)]
    np.testing.assert_array_equal(alone, np.stack(written))


def test_images_are_16_bit_and_named_by_the_pattern(small: Path) -> None:
    for plate in ("P1", "P2"):
        about = json.loads((small / "plates" / plate / "plate.json").read_text())
        images = sorted((small / "plates" / plate / "Images").iterdir())
        assert len(images) == about["n_images"] == 4 * 5 * 1 * 6
        found = [re.fullmatch(about["file_pattern"], image.name) for image in images]
        places = {tuple(int(match[k]) for k in ("row", "column", "field", "channel")) for match in found if match}
        assert places == set(itertools.product(range(1, 5), range(1, 6), [1], range(1, 7)))
        assert [(c["index"], c["name"], c["stain"]) for c in about["channels"]][5] == (6, "Membrane", "WGA")
    with tifffile.TiffFile(images[0]) as tiff:
        assert tiff.pages[0].dtype == np.uint16
        assert tiff.pages[0].shape == (64, 72)
        assert "DateTime" not in tiff.pages[0].tags


def test_plates_table_points_at_what_exists(small: Path) -> None:
    rows = read(small / "plates.tsv")
    assert [(row["plate"], row["batch"], row["reader"]) for row in rows] == [
        ("P1", "B1", "synthetic"),
        ("P2", "B2", "synthetic"),
    ]
    assert all((small / row["path"]).is_dir() and (small / row["layout"]).is_file() for row in rows)


def test_layouts_hold_every_guide_once_and_all_controls(small: Path) -> None:
    genes = {row["gene"] for row in read(small / "truth.tsv")}
    wanted = sorted((gene, f"{gene}_g{number}") for gene in genes for number in (1, 2))
    for plate in ("P1", "P2"):
        rows = read(small / "layouts" / f"{plate}.tsv")
        assert [row["well"] for row in rows] == [f"{r}{c:02d}" for r in "ABCD" for c in range(1, 6)]
        treated = [(row["gene"], row["perturbation"]) for row in rows if row["control_type"] == "treatment"]
        assert sorted(treated) == wanted
        kinds = [row["control_type"] for row in rows]
        assert [kinds.count(kind) for kind in ("negcon", "poscon", "treatment", "empty")] == [4, 2, 12, 2]
        assert {row["perturbation"] for row in rows if row["control_type"] == "negcon"} == {
            f"NTC_g{n}" for n in (1, 2, 3, 4)
        }
        assert all(row["gene"] == "" for row in rows if row["control_type"] != "treatment")
    assert read(small / "layouts" / "P1.tsv") != read(small / "layouts" / "P2.tsv")


def test_default_layout_spreads_controls_over_rows_and_border() -> None:
    settings = ScreenSettings()
    for plate in range(4):
        wells = make_layout(settings, plate)
        kinds = [well.control_type for well in wells]
        assert [kinds.count(kind) for kind in ("negcon", "poscon", "treatment", "empty")] == [24, 6, 120, 0]
        controls = [well for well in wells if well.control_type in ("negcon", "poscon")]
        assert [sum(well.row == row for well in controls) for row in range(1, 11)] == [3] * 10
        assert any(well.row in (1, 10) or well.column in (1, 15) for well in controls)


def test_position_says_nothing_about_the_gene() -> None:
    settings = dataclasses.replace(ScreenSettings(), plates=tuple(f"Q{i}" for i in range(30)), batches=("B",) * 30)
    rows: dict[str, list[int]] = {}
    for plate in range(30):
        for well in make_layout(settings, plate):
            rows.setdefault(well.gene, []).append(well.row)
    means = np.array([np.mean(found) for gene, found in rows.items() if gene])
    # rows 1 to 10 at random: mean 5.5, standard error 2.87 / sqrt(60) = 0.37
    assert np.abs(means - 5.5).max() < 4.5 * 0.37


def test_relations_are_the_pairs_within_modules(small: Path) -> None:
    module = {row["gene"]: row["module"] for row in read(small / "truth.tsv")}
    strength = {row["gene"]: float(row["strength"]) for row in read(small / "truth.tsv")}
    assert sum(not m for m in module.values()) == 2
    expected = {
        (one, two): strength[one]
        for one in module
        for two in module
        if one < two and module[one] and module[one] == module[two]
    }
    found = {(row["entity1"], row["entity2"]): float(row["strength"]) for row in read(small / "relations.csv")}
    assert found == expected
    assert len(relations(ScreenSettings())) == 72  # 12 modules x 6 pairs


def test_planted_effects_have_the_stated_size_and_direction() -> None:
    settings = ScreenSettings()
    genes = make_design(settings).genes
    assert [sum(gene.strength == s for gene in genes) for s in (1.0, 0.75, 0.5, 0.35, 0.0)] == [12] * 5
    for gene in genes:
        assert np.linalg.norm(gene.effect_P) == pytest.approx(gene.strength * settings.effect_size)
    units = {gene.name: gene.effect_P / np.linalg.norm(gene.effect_P) for gene in genes if gene.module}
    within = [units[one] @ units[two] for one, two, _ in relations(settings)]
    across = [units[a.name] @ units[b.name] for a in genes for b in genes if 0 < a.module < b.module]
    assert min(within) > 0.6
    assert abs(np.mean(across)) < 0.1
    efficacy = np.array([guide.efficacy for guide in make_design(settings).guides.values() if guide.gene])
    assert 0.02 < np.mean(efficacy == 0.1) < 0.25
    assert np.all((efficacy == 0.1) | ((efficacy >= 0.5) & (efficacy <= 1)))


def test_phenotype_moves_texture_and_keeps_brightness() -> None:
    settings = ScreenSettings()
    effect = settings.effect_size * phenotype(er_mesh=0.5, mito_length=-0.6, actin_coherence=-0.5, chromatin_grain=0.4)
    mean, rough = [], []
    for vector in (NOTHING, effect):
        fields = [draw_field(settings, vector, NOTHING, 1.0, np.random.default_rng(i)) for i in range(8)]
        mean.append(np.mean([field.mean((1, 2)) for field in fields], 0))
        fine = [[(image - gaussian_filter(image, 1.5)).std() / image.mean() for image in field] for field in fields]
        rough.append(np.mean(fine, 0))
    np.testing.assert_allclose(mean[1], mean[0], rtol=0.03)
    moved = np.abs(rough[1] / rough[0] - 1)
    assert (moved[[0, 3]] > 0.05).all()  # grain of DNA, crossing actin
    assert moved.max() > 0.1


def test_elongation_stretches_cells_and_keeps_their_area() -> None:
    areas, aspects = [], []
    for value in (-1.5, 1.5):
        cells = make_cells(ScreenSettings(), phenotype(cell_elongation=value), NOTHING, 0.3, np.random.default_rng(1))
        pixels = assign_pixels(dataclasses.replace(cells, y_K=cells.y_K + 60, x_K=cells.x_K + 60), 300, 300)
        areas.append(len(pixels.flat_N))
        aspects.append(np.sqrt(np.mean(pixels.u_N**2) / np.mean(pixels.v_N**2)))
    assert aspects[1] / aspects[0] > 1.4
    assert areas[1] == pytest.approx(areas[0], rel=0.06)


def test_perinuclear_mitochondria_lie_nearer_to_the_nucleus() -> None:
    settings = dataclasses.replace(ScreenSettings(), cells_per_field=3.0, size_sd=0.0)
    distance = []
    for value in (-1.5, 1.5):
        effect, found = phenotype(mito_perinuclear=value), []
        for seed in range(6):
            cells = make_cells(settings, effect, NOTHING, 1.0, np.random.default_rng(seed))
            field = draw_field(settings, effect, NOTHING, 1.0, np.random.default_rng(seed))[4]
            y, x = np.nonzero(field)
            reach = np.hypot(y[:, None] - cells.y_K, x[:, None] - cells.x_K).min(1)
            found.append(np.average(reach, weights=field[y, x]))
        distance.append(np.mean(found))
    assert distance[1] < 0.9 * distance[0]


def test_plate_gain_multiplies_the_stain() -> None:
    settings = dataclasses.replace(ScreenSettings(), defocus_share=0.0)
    stain = draw_field(settings, NOTHING, NOTHING, 1.0, np.random.default_rng(0))
    well = WellEffect(np.ones(6), 1.0, 0.0)
    plate = plate_effect(settings, 0)
    double = dataclasses.replace(plate, gain_C=2 * plate.gain_C)
    counts = [expose(settings, stain, p, well, np.random.default_rng(1)).mean((1, 2)) for p in (plate, double)]
    gain = (counts[1] - plate.background_C) / (counts[0] - plate.background_C)
    np.testing.assert_allclose(gain, 2.0, rtol=0.01)


def test_camera_noise_is_photon_and_read_noise() -> None:
    settings = dataclasses.replace(ScreenSettings(), defocus_share=0.0)
    flat = PlateEffect(np.ones(6), np.full(6, 300.0), np.full(6, 0.5), np.ones((6, 128, 128), np.float32))
    counts = expose(
        settings, np.ones((6, 128, 128), np.float32), flat, WellEffect(np.ones(6), 1.0, 0.0), settings.rng("t")
    )
    level = 300 + np.array(settings.signal)
    # electrons e = 0.5 * counts: variance in counts is (e + read_noise^2) / 0.5^2, plus 1/12 of rounding
    variance = (0.5 * level + 16) / 0.25 + 1 / 12
    np.testing.assert_allclose(counts.mean((1, 2)), level, rtol=0.003)
    np.testing.assert_allclose(counts.var((1, 2), dtype=float), variance, rtol=0.06)


def test_plates_of_a_batch_share_their_gain_more_than_batches_do() -> None:
    settings = dataclasses.replace(ScreenSettings(), gain_plate_sd=0.0)
    gains = [plate_effect(settings, plate).gain_C for plate in range(4)]
    np.testing.assert_array_equal(gains[0], gains[1])
    assert np.abs(np.log(gains[0] / gains[2])).max() > 0.1


def test_border_wells_are_dimmer_and_sparser() -> None:
    settings = dataclasses.replace(ScreenSettings(), gain_well_sd=0.0, density_sd=0.0)
    border, inner = well_effect(settings, 0, 1, 7), well_effect(settings, 0, 5, 7)
    np.testing.assert_allclose(border.gain_C / inner.gain_C, settings.edge_brightness)
    assert border.density / inner.density == pytest.approx(settings.edge_density)


def test_defocus_removes_fine_detail() -> None:
    stain = draw_field(ScreenSettings(), NOTHING, NOTHING, 1.0, np.random.default_rng(0))
    detail = []
    for share in (0.0, 1.0):
        settings = dataclasses.replace(ScreenSettings(), defocus_share=share)
        counts = expose(
            settings, stain, plate_effect(settings, 0), well_effect(settings, 0, 5, 5), np.random.default_rng(0)
        )
        image = counts[4].astype(float)
        detail.append((gaussian_filter(image, 1) - gaussian_filter(image, 3)).std())
    assert detail[1] < 0.4 * detail[0]


def test_empty_wells_hold_no_cells() -> None:
    well = next(well for well in make_layout(SMALL, 0) if well.control_type == "empty")
    counts = screen.draw_well(SMALL, 0, well, 0).astype(float)
    noise = np.sqrt((0.5 * counts.mean((1, 2)) + 16) / 0.25)
    assert (np.abs(counts - counts.mean((1, 2), keepdims=True)).max((1, 2)) < 6 * noise).all()


def test_an_interrupted_write_is_completed(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, drawn = screen.draw_well, []

    def stop_at_nine(*arguments: object) -> np.ndarray:
        drawn.append(arguments)
        if len(drawn) == 9:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(screen, "draw_well", stop_at_nine)
    with pytest.raises(KeyboardInterrupt):
        write_screen(tmp_path / "s", SMALL, workers=1)
    assert not (tmp_path / "s" / "screen.json").exists()
    write_screen(tmp_path / "s", SMALL, workers=1)
    assert len(drawn) == 9 + 40 - 8  # the eight finished wells are kept
    assert contents(tmp_path / "s") == contents(small)


def test_a_complete_screen_is_left_alone_and_a_lost_image_is_drawn_again(tmp_path: Path) -> None:
    root = write_screen(tmp_path / "s", SMALL, workers=1)
    before = contents(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    write_screen(root, SMALL, workers=1)
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    (root / "plates/P2/Images/r01c02f01-ch3.tiff").unlink()
    write_screen(root, SMALL, workers=1)
    assert contents(root) == before


def test_a_folder_without_marker_is_written_anew(tmp_path: Path) -> None:
    root = write_screen(tmp_path / "s", SMALL, workers=1)
    before = contents(root)
    (root / "screen.json").unlink()
    (root / "plates/P1/Images/r01c01f01-ch1.tiff").write_bytes(b"torn")
    write_screen(root, SMALL, workers=1)
    assert contents(root) == before


def test_other_settings_are_refused(small: Path) -> None:
    before = contents(small)
    with pytest.raises(ConfigError, match="other settings") as caught:
        write_screen(small, dataclasses.replace(SMALL, effect_size=2.0))
    assert str(small) in str(caught.value)
    assert "delete" in caught.value.remedy
    assert contents(small) == before


def test_foreign_images_are_refused(tmp_path: Path) -> None:
    stray = tmp_path / "plates" / "P9" / "Images" / "r01c01f01-ch1.tiff"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"")
    with pytest.raises(InputError, match="do not belong"):
        write_screen(tmp_path, SMALL)


def test_settings_survive_json_and_report_all_problems(small: Path) -> None:
    stored = json.loads((small / "screen.json").read_text())
    again = ScreenSettings(**stored["settings"])
    assert again == SMALL
    assert stored["digest"] == again.digest()
    with pytest.raises(ConfigError, match="2 problems"):
        ScreenSettings(rows=2, signal=(1.0,) * (len(CHANNELS) - 1))
