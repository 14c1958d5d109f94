"""Targets of compounds against scikit-learn, with draws made again here."""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.compound_gene import CompoundGene, CompoundGeneSettings
from platemae.benchmarks.ranking_metrics import rank_metrics
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, ContractError, InputError

GENES, COMPOUNDS, DOSES = 60, 15, (0.25, 2.5)


def made_map(effect: float, seed: int = 0) -> ad.AnnData:
    """A map of genes and of compounds at doses; compound c looks like minus gene c, more so at the higher dose."""
    rng = np.random.default_rng(seed)
    gene = rng.standard_normal((GENES, 20))
    rows = [{"gene": f"g{g:02d}", "entity_kind": "gene", "compound": "", "concentration": np.nan} for g in range(GENES)]
    x = [*gene]
    for compound in range(COMPOUNDS):
        for index, dose in enumerate(DOSES):
            name = f"c{compound:02d}"
            rows.append({"gene": f"{name}@{dose}", "entity_kind": "compound", "compound": name, "concentration": dose})
            x.append(-effect * index * gene[compound] + rng.standard_normal(20))
    obs = pd.DataFrame(rows)
    obs.index = obs["gene"].astype(str)
    return ad.AnnData(np.array(x, dtype=np.float32), obs=obs)


def truth(folder: Path) -> str:
    """Every compound: its own gene and the next are targets, one is between, the others unmeasured or inactive."""
    lines = ["compound,gene,nM"]
    for c in range(COMPOUNDS):
        lines += [f"c{c:02d},g{c:02d},100", f"c{c:02d},g{c + 1:02d},1000", f"c{c:02d},g{c + 2:02d},5000"]
    lines += [f"c00,g{g:02d},20000" for g in range(COMPOUNDS + 2, GENES)]
    path = folder / "truth.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def score(gene_map: ad.AnnData, path: str, **values) -> pd.DataFrame:
    settings = CompoundGeneSettings(truth=path, **{"n_bootstrap": 200, "n_plate_bootstrap": 0, **values})
    return CompoundGene.score(Scored(lambda: gene_map), settings).set_index(["source", "metric"])


def test_one_draw_equals_scikit_learn_where_all_other_genes_are_negatives(tmp_path: Path) -> None:
    """57 of 60 genes are left beside two targets and one between, and as many negatives are asked for."""
    gene_map = made_map(1.0)
    found = score(gene_map, truth(tmp_path), min_negatives=57, n_seeds=1)
    x = np.asarray(gene_map.X, dtype=float)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for source, of in (("dose 0.25", [0]), ("dose 2.5", [1]), ("max over doses", [0, 1])):
        ap, auc = [], []
        for c in range(COMPOUNDS):
            every = np.abs(unit[GENES + 2 * c + np.array(of)] @ unit[:GENES].T).max(axis=0)
            kept = [g for g in range(GENES) if g != c + 2]
            label = [g in (c, c + 1) for g in kept]
            ap.append(average_precision_score(label, every[kept]))
            auc.append(roc_auc_score(label, every[kept]))
        assert found.loc[(source, "average_precision"), "value"] == pytest.approx(np.mean(ap), abs=1e-9)
        assert found.loc[(source, "auroc"), "value"] == pytest.approx(np.mean(auc), abs=1e-9)
    row = found.loc[("max over doses", "average_precision")]
    assert row["n"] == COMPOUNDS
    assert row["ci_low"] <= row["value"] <= row["ci_high"]


def test_strong_compounds_are_found_and_random_ones_at_chance(tmp_path: Path) -> None:
    strong, none = (score(made_map(effect, seed=3), truth(tmp_path)) for effect in (4.0, 0.0))
    row = strong.loc[("dose 2.5", "average_precision")]
    assert row["ci_low"] > row["chance"] + 0.2
    for metric in ("average_precision", "auroc"):
        random = none.loc[("max over doses", metric)]
        assert random["ci_low"] <= random["chance"] <= random["ci_high"]
        shuffled = strong.loc[("dose 2.5", f"{metric}_shuffled")]
        assert shuffled["value"] == pytest.approx(shuffled["chance"], abs=0.06)
        assert shuffled["ci_low"] <= shuffled["chance"] <= shuffled["ci_high"]
    detail = json.loads(row["detail"])
    assert detail["n_seeds"] == 10
    assert detail["sd_over_seeds"] > 0


def test_a_map_made_of_wells_has_plate_intervals(tmp_path: Path) -> None:
    """Genes and compounds at doses on six plates, as build_map makes them."""
    rng = np.random.default_rng(2)
    gene = rng.standard_normal((GENES, 16))
    rows, x = [], []
    for plate in range(6):
        for g in range(GENES):
            rows.append((f"p{plate}", f"g{g}", f"g{g:02d}", "", "", f"guide{g}"))
            x.append(gene[g])
        for c in range(COMPOUNDS):
            for dose in DOSES:
                rows.append((f"p{plate}", f"c{c}{dose}", "", f"c{c:02d}", str(dose), f"c{c}_{dose}"))
                x.append(2 * gene[c])
    names = ("Plate", "Well", "Gene", "Compound", "Concentration", "Perturbation")
    obs = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names]).assign(Metadata_Control_Type="treatment")
    wells = ad.AnnData((np.array(x) + rng.standard_normal((len(x), 16))).astype(np.float32), obs=obs)
    how = AggregateSettings(entity="gene_and_compound", doses="apart", n_null=9)
    data = Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)
    table = CompoundGene.score(data, CompoundGeneSettings(truth=truth(tmp_path), n_bootstrap=100, n_plate_bootstrap=10))
    table = table.set_index(["source", "metric"])
    assert [source for source, metric in table.index if metric == "auroc"] == [
        "max over doses",
        "dose 0.25",
        "dose 2.5",
    ]
    row = table.loc[("max over doses", "average_precision")]
    assert row["value"] > 0.6
    assert row["chance"] < row["plate_ci_low"] < row["plate_ci_high"]


def test_row_order_and_hash_seed_change_nothing(tmp_path: Path) -> None:
    path, gene_map = truth(tmp_path), made_map(1.0)
    one = score(gene_map, path)
    pd.testing.assert_frame_equal(one, score(gene_map[::-1].copy(), path))
    gene_map.write_h5ad(tmp_path / "map.h5ad")
    code = (
        "import anndata, sys\n"
        "from platemae.benchmarks.compound_gene import CompoundGene, CompoundGeneSettings\n"
        "from platemae.benchmarks.scored import Scored\n"
        "made = anndata.read_h5ad(sys.argv[1])\n"
        "settings = CompoundGeneSettings(truth=sys.argv[2], n_plate_bootstrap=0)\n"
        "table = CompoundGene.score(Scored(lambda: made), settings)\n"
        "print(table['value'].tolist())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "map.h5ad"), path]
    env = {"PYTHONHASHSEED": "1"}  # here it is drawn anew by every interpreter
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert json.loads(said.replace("nan", "NaN")) == pytest.approx(one["value"].tolist(), nan_ok=True)


def test_compounds_that_cannot_be_scored_are_counted(tmp_path: Path) -> None:
    path = Path(truth(tmp_path))
    path.write_text(path.read_text() + "elsewhere,g00,5\nc05,g05,2\n")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("c14,")]
    path.write_text("\n".join([*lines, "c14,g14,50000", ""]))
    gene_map = made_map(1.0)
    x = np.array(gene_map.X)
    x[GENES : GENES + 2] = 0
    gene_map.X = x
    detail = json.loads(score(gene_map, str(path)).iloc[0]["detail"])
    assert detail["n_compounds_without_target"] == 1
    assert detail["n_compounds_truth_outside_map"] == 2
    assert detail["n_rows_without_direction"] == 2
    few = score(made_map(1.0), str(path), min_negatives=58)
    assert few["value"].isna().all()
    told = json.loads(few.iloc[0]["detail"])
    assert told["reason"] == "no compound can be scored"
    assert told["n_compounds_too_few_genes"] == 14


def test_columns_of_the_published_file_are_taken(tmp_path: Path) -> None:
    path = Path(truth(tmp_path))
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace("compound,gene,nM", "treatment,gene_symbol,nM_value"))
    pd.testing.assert_frame_equal(score(made_map(1.0), str(path)), score(made_map(1.0), str(other)))


def test_wrong_input_is_named(tmp_path: Path) -> None:
    path = Path(truth(tmp_path))
    bad = tmp_path / "bad.csv"
    bad.write_text("compound,gene,nM\nc00,g00,10\nc01,g01,>10000\n")
    with pytest.raises(InputError, match="nM is '>10000'") as caught:
        score(made_map(1.0), str(bad))
    assert caught.value.where.endswith("row 3")
    bad.write_text("compound,gene\nc00,g00\n")
    with pytest.raises(InputError, match="no column nM"):
        score(made_map(1.0), str(bad))
    bad.write_text(path.read_text().replace("g", "G").replace("Gene", "gene"))
    with pytest.raises(InputError, match="no gene of the map is in the table") as caught:
        score(made_map(1.0), str(bad))
    assert "upper and lower case" in caught.value.remedy
    plain = made_map(1.0)
    plain.obs = plain.obs[["gene"]]
    with pytest.raises(ContractError, match="no column entity_kind, compound") as caught:
        score(plain, str(path))
    assert "gene_and_compound" in caught.value.remedy
    with pytest.raises(ConfigError, match="active_nm is 2000, inactive_nm 1000"):
        CompoundGeneSettings(active_nm=2000, inactive_nm=1000)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_metrics_equal_scikit_learn_with_ties_and_gaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score_CK, positive_CK, valid_CK = (
        rng.integers(0, 5, (6, 12)) / 4,
        rng.random((6, 12)) < 0.4,
        rng.random((6, 12)) < 0.8,
    )
    ap, auroc = rank_metrics(score_CK, positive_CK, valid_CK)
    for row in range(6):
        kept = valid_CK[row]
        label = positive_CK[row][kept]
        if label.all() or not label.any():
            assert np.isnan(ap[row])
            assert np.isnan(auroc[row])
            continue
        assert ap[row] == pytest.approx(average_precision_score(label, score_CK[row][kept]))
        assert auroc[row] == pytest.approx(roc_auc_score(label, score_CK[row][kept]))
