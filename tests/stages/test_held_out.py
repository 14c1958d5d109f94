"""Maps and scores of what a training set never saw, and what scores say of the overlap."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.config.sections import benchmark_entry
from platemae.contracts import FIELDS_COLUMNS
from platemae.errors import InputError
from platemae.layout import Results
from platemae.stages import build_map, score_map
from platemae.tables import write_anndata
from tests.stages.screen import GENES, embedded_plate

PLATES = ("P1", "P2")
SEEN_GENES = GENES[:6]


@pytest.fixture
def results(tmp_path):
    """Two plates; a training set of six genes on the first, and of all its controls."""
    made = Results(tmp_path)
    for number, plate in enumerate(PLATES):
        wells = embedded_plate(made, "m", plate, "B1", seed=number)
        write_anndata(wells, made.corrected("m", "none", plate))
        obs = wells.obs.rename(columns=lambda name: name.removeprefix("Metadata_").lower()).assign(field="1", group="")
        fields = obs.reindex(columns=list(FIELDS_COLUMNS), fill_value="")
        made.fields(plate).parent.mkdir(parents=True, exist_ok=True)
        fields.to_parquet(made.fields(plate), index=False)
    first = pd.read_parquet(made.fields("P1"))
    trained = first[first["gene"].isin(SEEN_GENES) | (first["control_type"] == "negcon")]
    index = trained[["plate", "batch", "well", "field", "group"]].assign(split="train")
    made.dataset("d").parent.mkdir(parents=True, exist_ok=True)
    index.to_parquet(made.dataset("d"), index=False)
    return made


def built(results, held_out=None, plates=PLATES):
    section = {"entity": "gene", "aggregate": "mean"} | ({"held_out": held_out} if held_out else {})
    cfg = {"map": section, "plates": list(plates)}
    build_map.run(results, cfg, model="m", correction="none")
    return cfg, anndata.read_h5ad(results.map("m", "none"))


def test_genes_that_training_saw_are_on_no_map(results):
    _, whole = built(results)
    _, held = built(results, {"dataset": "d", "by": "gene"})
    assert set(held.obs_names) == set(GENES) - set(SEEN_GENES)
    np.testing.assert_array_equal(held.X, whole[held.obs_names].X)


def test_the_map_of_an_unseen_plate_is_that_plates_own(results):
    _, held = built(results, {"dataset": "d", "by": "plate"})
    _, own = built(results, plates=("P2",))
    np.testing.assert_array_equal(held.X, own.X)
    assert set(held.obs["n_plates"]) == {1}


def test_where_training_saw_every_batch_nothing_is_left(results):
    with pytest.raises(InputError, match="saw every batch"):
        built(results, {"dataset": "d", "by": "batch"})


def scored(results, cfg, label, kind="replicability"):
    entry = benchmark_entry(kind=kind, name="x", n_bootstrap=20, n_plate_bootstrap=0, null_size=100)
    cfg = cfg | {"benchmarks": [entry.model_dump(mode="json")], "overlap": {"dataset": "d", "label": label}}
    score_map.run(results, cfg, model="m", correction="none", base=results.root)
    table = pd.read_parquet(results.scores("m", "none"))
    (said,) = {json.loads(text)["overlap"] for text in table["detail"]}
    (word,) = set(table["overlap"])
    return word, said, table


@pytest.mark.parametrize(
    ("held_out", "label", "word", "said"),
    [
        (None, None, "images", "images: 1 of 2 plates, 12 of 96 wells"),
        (None, "perturbation", "labels", "labels: 6 of 24 genes, 1 of 2 plates, 12 of 96 wells"),
        ({"dataset": "d", "by": "gene"}, "perturbation", "none", "none: 0 of 18 genes, 1 of 2 plates, 0 of 72 wells"),
        ({"dataset": "d", "by": "plate"}, None, "none", "none: 0 of 1 plates, 0 of 48 wells"),
        # the plate is new, its labels are not
        ({"dataset": "d", "by": "plate"}, "gene", "labels", "labels: 6 of 24 genes, 0 of 1 plates, 0 of 48 wells"),
    ],
)
def test_scores_count_what_training_saw_of_the_scored_wells(results, held_out, label, word, said):
    cfg, _ = built(results, held_out)
    assert scored(results, cfg, label)[:2] == (word, said)


def test_benchmarks_of_wells_see_held_out_wells_and_all_controls(results):
    cfg, _ = built(results, {"dataset": "d", "by": "gene"})
    _, _, table = scored(results, cfg, None)
    row = table[table["metric"] == "mean_average_precision"].iloc[0]
    assert row["n"] == 2 * (len(GENES) - len(SEEN_GENES)), "two guides of each gene that was held out"
