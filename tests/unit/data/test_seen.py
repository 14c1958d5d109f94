"""What training saw of scored wells, with counts; and which wells stay when only unseen ones are scored."""

import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS
from platemae.data.seen import held_out_rows, overlap_of
from platemae.errors import InputError
from platemae.layout import Results

WELLS = {  # well -> guide, gene, control type
    "A01": ("NTC", "", "negcon"),
    "A02": ("a_g1", "a", "treatment"),
    "A03": ("a_g2", "a", "treatment"),
    "A04": ("b_g1", "b", "treatment"),
    "A05": ("c_g1", "c", "treatment"),
    "A06": ("", "", "empty"),
}
BATCH = {"P1": "B1", "P2": "B1", "P3": "B2"}


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    made.fields("P1").parent.mkdir(parents=True)
    for plate, batch in BATCH.items():
        rows = []
        for number, (well, (guide, gene, kind)) in enumerate(WELLS.items()):
            rows += [
                [plate, batch, well, f, "A", number, f"A/{number}/{f}", "", guide, gene, "", "", kind] for f in "12"
            ]
        pd.DataFrame(rows, columns=list(FIELDS_COLUMNS)).to_parquet(made.fields(plate))
    return made


def train_on(results, places, split="train"):
    rows = [(p, BATCH[p], w, f, f"{w}/{f}", split) for p, w in places for f in "12"]
    table = pd.DataFrame(rows, columns=["plate", "batch", "well", "field", "group", "split"])
    results.dataset("d").parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(results.dataset("d"))


def scored(plates=("P1", "P2", "P3")):
    rows = []
    for plate in plates:
        for well, (guide, gene, kind) in WELLS.items():
            rows.append([plate, well, "", BATCH[plate], guide, gene or None, "", "", kind])
    return pd.DataFrame(rows, columns=list(OBS_COLUMNS))


IMAGES, LABELS = {"dataset": "d", "label": None}, {"dataset": "d", "label": "perturbation"}


@pytest.mark.parametrize(
    ("trained", "training", "word", "said"),
    [
        # images: by well, and the text counts plates
        ([("P1", "A02"), ("P2", "A02")], IMAGES, "images", "images: 2 of 3 plates, 2 of 12 wells"),
        ([("P1", "A01")], IMAGES, "none", "none: 1 of 3 plates, 0 of 12 wells"),
        ([("P1", "A02")], LABELS, "labels", "labels: 1 of 3 genes, 1 of 3 plates, 1 of 12 wells"),
        # labels held out, images of other wells seen
        ([("P1", "A01"), ("P1", "A06")], LABELS, "none", "none: 0 of 3 genes, 1 of 3 plates, 0 of 12 wells"),
    ],
)
def test_plates_wells_and_labels_are_counted(results, trained, training, word, said):
    train_on(results, trained)
    assert overlap_of(results, scored(), training, "Metadata_Gene") == (word, said)


def test_labels_learned_on_other_plates_are_learned(results):
    train_on(results, [("P3", "A02"), ("P3", "A04")])
    word, said = overlap_of(results, scored(("P1", "P2")), LABELS, "Metadata_Gene")
    assert (word, said) == ("labels", "labels: 2 of 3 genes, 0 of 2 plates, 0 of 8 wells")
    assert overlap_of(results, scored(("P1", "P2")), IMAGES, "Metadata_Gene")[0] == "none"


def test_another_guide_of_a_gene_tells_of_the_gene_but_not_of_the_guide(results):
    train_on(results, [("P1", "A02")])
    other = scored(("P2",)).query("Metadata_Well != 'A02'")
    assert overlap_of(results, other, LABELS, "Metadata_Gene")[1].startswith("labels: 1 of 3 genes")
    assert overlap_of(results, other, LABELS, "Metadata_Perturbation")[0] == "none"


def test_labels_of_validation_wells_are_not_learned(results):
    train_on(results, [("P3", "A02")], split="validation")
    assert overlap_of(results, scored(("P1",)), LABELS, "Metadata_Gene")[0] == "none"


@pytest.mark.parametrize("word", ["none", "unknown"])
def test_what_the_configuration_decides_is_not_looked_up(tmp_path, word):
    assert overlap_of(Results(tmp_path / "nowhere"), scored(), word, "Metadata_Gene") == (word, word)


@pytest.mark.parametrize(
    ("by", "trained", "kept"),
    [
        ("plate", [("P1", "A02"), ("P2", "A05")], {("P3", w) for w in ("A02", "A03", "A04", "A05")}),
        ("batch", [("P1", "A02")], {("P3", w) for w in ("A02", "A03", "A04", "A05")}),
        ("gene", [("P1", "A02"), ("P1", "A04")], {(p, "A05") for p in BATCH}),
        ("perturbation", [("P1", "A02"), ("P1", "A04")], {(p, w) for p in BATCH for w in ("A03", "A05")}),
    ],
)
def test_only_what_training_never_saw_stays_and_all_controls(results, by, trained, kept):
    train_on(results, trained)
    obs = scored()
    mask = held_out_rows(results, obs, {"dataset": "d", "by": by})
    treated = (obs["Metadata_Control_Type"] == "treatment").to_numpy()
    assert mask[~treated].all()
    chosen = obs[mask & treated]
    assert set(zip(chosen["Metadata_Plate"], chosen["Metadata_Well"], strict=True)) == kept
    assert held_out_rows(results, obs, None).all()


def test_nothing_left_is_an_error(results):
    train_on(results, [(p, w) for p in BATCH for w in WELLS])
    with pytest.raises(InputError, match="saw every gene"):
        held_out_rows(results, scored(), {"dataset": "d", "by": "gene"})
