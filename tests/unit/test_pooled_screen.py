"""The pooled form of the synthetic screen: each cell's guide, its true place, and the drawing of the arrayed form."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from platemae.cli import main
from platemae.errors import ConfigError
from platemae.synthetic import PooledSettings, ScreenSettings, pooled, screen, write_screen
from platemae.synthetic.cells import assign_pixels, form_cells, paint_field, scatter
from platemae.synthetic.design import Well, make_design
from platemae.synthetic.settings import PHENOTYPE

SMALL = PooledSettings(
    seed=5, plates=("P1", "P2"), batches=("B1", "B2"), rows=2, columns=2, fields_per_well=2, height=96, width=112
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_screen(tmp_path_factory.mktemp("screen") / "small", SMALL, workers=1)


def test_all_cells_of_one_guide_are_the_arrayed_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = next(guide for guide in make_design(SMALL).guides.values() if guide.gene)
    monkeypatch.setattr(pooled, "_guides", lambda settings, plate, spot, field, count: [guide] * count)
    shared = {field.name for field in dataclasses.fields(ScreenSettings)}
    same = {key: value for key, value in dataclasses.asdict(SMALL).items() if key in shared}
    same |= {"modules": 0, "inactive_genes": 0, "negcon_wells": 1, "poscon_wells": 0}
    # The arrayed screen has wells for few guides: the genes are left out, and the guide is put back by its name.
    arrayed = ScreenSettings(**same)
    make_design(arrayed).guides[guide.name] = guide
    well = Well(2, 1, guide.name, guide.gene, "treatment")
    expected = screen.draw_well(arrayed, 1, well, 1)
    np.testing.assert_array_equal(screen.draw_well(SMALL, 1, Well(2, 1, "pooled", "", "treatment"), 1), expected)


def test_a_guide_changes_its_own_cell_alone() -> None:
    drawn = []
    outline = [PHENOTYPE.index(name) for name in ("cell_elongation", "membrane_ruffles")]  # these move neighbours too
    for strength in (0.0, 3.0):
        rng = np.random.default_rng(3)
        y_K, x_K = scatter(SMALL, 1.0, rng)
        effect_KP = np.zeros((len(y_K), 12))
        effect_KP[4] = strength
        effect_KP[4, outline] = 0
        cells = form_cells(SMALL, y_K, x_K, effect_KP, np.zeros(12), rng)
        drawn.append(paint_field(SMALL, cells, rng, np.ones((len(y_K), 6), np.float32)))
    pixels = assign_pixels(cells, SMALL.height, SMALL.width)
    own = set(pixels.flat_N[pixels.cell_N == 4])
    changed = set(np.flatnonzero(np.any(drawn[0] != drawn[1], axis=0)))
    assert changed <= own
    assert len(changed) > 0.9 * len(own) > 200


def test_the_table_gives_the_true_places(small: Path) -> None:
    for plate, name in enumerate(SMALL.plates):
        cells = read(small / "cells" / f"{name}.tsv")
        for well in pooled.pooled_layout(SMALL):
            for field in range(2):
                mine = [c for c in cells if (c["well"], c["field"]) == (well.name, str(field + 1))]
                dna = screen.draw_well(SMALL, plate, well, field)[0]
                inside = [(c, float(c["y"]), float(c["x"])) for c in mine]
                at = [dna[min(round(y), 95), min(round(x), 111)] for _, y, x in inside]
                assert np.mean(np.array(at) > dna.mean() + dna.std() / 2) > 0.8
                assert [c["cell"] for c in mine] == [str(i + 1) for i in range(len(mine))]


def test_guides_are_dealt_by_their_shares() -> None:
    settings = dataclasses.replace(SMALL, fields_per_well=60, plates=("P1",), batches=("B1",))
    cells = pooled.cell_table(settings, 0)
    kinds = Counter(cell["control_type"] for cell in cells)
    n = len(cells)
    assert n > 1500
    assert kinds["negcon"] / n == pytest.approx(0.15, abs=4 * np.sqrt(0.15 * 0.85 / n))
    assert kinds["poscon"] / n == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / n))
    guides = make_design(settings).guides
    assert {cell["perturbation"] for cell in cells} == set(guides)
    assert all(cell["gene"] == guides[cell["perturbation"]].gene for cell in cells)


def test_plates_name_their_cells_and_layouts_say_pooled(small: Path) -> None:
    rows = read(small / "plates.tsv")
    assert [row["cells"] for row in rows] == ["cells/P1.tsv", "cells/P2.tsv"]
    assert all((small / row["cells"]).is_file() for row in rows)
    layout = read(small / "layouts" / "P1.tsv")
    assert [(row["well"], row["perturbation"], row["control_type"]) for row in layout] == [
        (well, "pooled", "treatment") for well in ("A01", "A02", "B01", "B02")
    ]


def test_bytes_do_not_depend_on_workers_and_other_forms_are_refused(small: Path, tmp_path: Path) -> None:
    assert contents(small) == contents(write_screen(tmp_path / "again", SMALL, workers=2))
    with pytest.raises(ConfigError, match="other settings"):
        write_screen(small, ScreenSettings())


def test_shares_that_leave_no_treated_cell_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave no cell"):
        PooledSettings(negcon_share=0.6, poscon_share=0.4)


def test_the_command_line_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(screen, "write_screen", lambda folder, settings, workers: seen.append(settings))
    assert main(["synthesize-screen", str(tmp_path), "--pooled", "--seed", "3"]) == 0
    assert main(["synthesize-screen", str(tmp_path), "--seed", "3"]) == 0
    assert seen == [PooledSettings(seed=3), ScreenSettings(seed=3)]
