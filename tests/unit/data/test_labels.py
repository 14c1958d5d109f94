"""Labels of fields, and batches of one domain that depend on seed and step alone."""

from itertools import islice

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS
from platemae.data.crops import training_batches
from platemae.data.groups import BY, groups_of, read_groups, sampling_key
from platemae.data.labels import (
    UNLABELLED,
    DomainSampler,
    Labels,
    domain_sampler,
    labelled_validation,
    labels_key,
    read_labels,
)
from platemae.data.raw_crops import RawCrops
from platemae.data.sampler import CropSpec
from platemae.errors import ConfigError, TrainingError
from platemae.layout import Results

GENES = {"A01": "", "A02": "G1", "B01": "G2", "B02": "G9"}


def write(results: Results, genes=GENES, plates=("P1", "P2", "P3")) -> None:
    rows = []
    for p, plate in enumerate(plates):
        batch = f"b{p // 2}"
        fields = [
            [plate, batch, w, "0", w[0], int(w[1:]), f"{w}/0", "", f"guide {w}", g, "", "", ""]
            for w, g in genes.items()
        ]
        results.fields(plate).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))
        rows += [[plate, batch, w, "0", f"{w}/0", "validation" if w >= "B02" else "train"] for w in genes]
        rows += [[plate, batch, "A02", "0", "A02/0", "validation"]]
    results.dataset("d").parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=list(DATASET_COLUMNS)).to_parquet(results.dataset("d"))


@pytest.fixture
def results(tmp_path) -> Results:
    write(Results(tmp_path))
    return Results(tmp_path)


def test_classes_are_those_of_training_fields(results):
    labels = read_labels(results, "d", "gene", "plate")
    assert labels.classes == ("G1", "G2")
    assert labels.of_F["train"].tolist() == [UNLABELLED, 0, 1] * 3
    assert labels.of_F["validation"].tolist() == [UNLABELLED, 0] * 3  # G9 was never trained on
    assert [g.tolist() for g in labels.groups("train")] == [[1, 2], [4, 5], [7, 8]]
    assert [g.tolist() for g in read_labels(results, "d", "gene", "batch").groups("train")] == [[1, 2, 4, 5], [7, 8]]
    assert [g.tolist() for g in read_labels(results, "d", "gene", "none").groups("train")] == [[1, 2, 4, 5, 7, 8]]
    assert len(read_labels(results, "d", "perturbation", "plate").classes) == 3


@pytest.mark.parametrize(
    ("genes", "problem"),
    [({"A01": "G1", "A02": "G1", "B02": "G2"}, "one gene alone: G1"), ({"A01": "", "B02": "G2"}, "have no gene")],
)
def test_fewer_than_two_classes_are_an_error(results, genes, problem):
    write(results, genes)
    with pytest.raises(TrainingError, match=problem) as error:
        read_labels(results, "d", "gene", "plate")
    assert "dataset d" in error.value.what


def test_an_edited_layout_is_another_training(results):
    before = labels_key(results, "d", "gene", "plate")
    assert labels_key(results, "d", "gene", "plate") == before
    write(results, GENES | {"A02": "G3"})
    assert labels_key(results, "d", "gene", "plate") != before
    assert labels_key(results, "d", "perturbation", "plate")["label"] == "perturbation"


GROUPS = (tuple(range(0, 10)), tuple(range(10, 13)), tuple(range(20, 26)))


def sampler(batch=4, seed=3) -> DomainSampler:
    domains = tuple((fields,) for fields in GROUPS)
    return DomainSampler((40,) * 30, (50,) * 30, 16, batch, seed, True, domains=domains)


def domain_of(specs: list[CropSpec]) -> set[int]:
    return {index for index, fields in enumerate(GROUPS) for spec in specs if spec.field in fields}


def test_batches_are_of_one_domain_and_share_among_processes():
    drawn = [sampler().specs(step) for step in range(40)]
    assert all(len(domain_of(specs)) == 1 for specs in drawn)
    assert all(spec.field < 26 and not 13 <= spec.field < 20 for specs in drawn for spec in specs)
    for step in (0, 7, 39):
        assert [s for rank in range(2) for s in sampler().specs(step, rank, 2)] == drawn[step]
    assert [sampler(seed=4).specs(step) for step in range(40)] != drawn


def test_a_round_shows_every_field_and_passes_are_even():
    """Ten, three and six fields in batches of four: three, one and two batches a round."""
    drawn = [sampler().specs(step) for step in range(60)]
    for start in range(0, 60, 6):
        found = [next(iter(domain_of(specs))) for specs in drawn[start : start + 6]]
        assert sorted(found) == [0, 0, 0, 1, 2, 2]
    assert {spec.field for specs in drawn[:6] for spec in specs} == {f for fields in GROUPS for f in fields}
    for index, fields in enumerate(GROUPS):
        seen = [s.field for specs in drawn if domain_of(specs) == {index} for s in specs]
        passes = [seen[i : i + len(fields)] for i in range(0, len(seen) - len(fields) + 1, len(fields))]
        assert all(sorted(one) == list(fields) for one in passes)
        assert len({tuple(one) for one in passes}) > 1


def test_a_batch_of_one_crop_is_refused():
    with pytest.raises(ConfigError, match="batch of one crop"):
        sampler(batch=1)


class _Source:
    """Crops that hold the number of their field."""

    heights, widths, crop = (20,) * 9, (20,) * 9, 4

    def batch(self, specs):
        return np.array([spec.field for spec in specs], np.float32)[:, None, None, None]

    def raw(self, specs, pinned=False):
        none_B1 = np.zeros((len(specs), 1), np.float32)
        turns_B = np.zeros(len(specs), np.int64)
        return RawCrops(self.batch(specs), none_B1, none_B1 + 1, turns_B, turns_B > 0)


def test_crops_carry_the_label_of_their_field(results):
    labels = read_labels(results, "d", "gene", "plate")
    drawn = domain_sampler(_Source(), labels, 4, 0, flip=False)
    batches = training_batches(_Source(), drawn, threads=0, labels=labels.of_F["train"])
    whole = list(islice(batches(0), 6))
    for x, label in whole:
        assert (labels.of_F["train"][x[:, 0, 0, 0].int().numpy()] == label).all()
        assert (label >= 0).all()
    np.testing.assert_array_equal(next(batches(5))[0], whole[5][0])


def test_validation_batches_are_of_one_domain():
    domains = np.repeat(["P1", "P2", "P3"], 3)
    labels = Labels(("a", "b"), {"validation": np.array([0, 1, -1, 1, 1, 0, -1, -1, -1])}, {"validation": domains})
    found = labelled_validation(_Source(), labels, 27, 4, seed=0)
    assert [len(label) for _, label in found] == [3, 3, 3, 3, 3]
    for x, label in found:
        fields = x[:, 0, 0, 0].astype(int)
        assert len(set(domains[fields])) == 1
        np.testing.assert_array_equal(labels.of_F["validation"][fields], label)
    assert labelled_validation(_Source(), Labels(("a", "b"), {}, {}), 27, 4, seed=0) == []


def test_within_a_domain_groups_are_seen_equally_often():
    """Domain 0 has group a with eight fields and b with two: each is half of its crops."""
    domains = ((tuple(range(8)), (8, 9)), ((10, 11),))
    drawn = DomainSampler((40,) * 12, (40,) * 12, 16, 4, 0, True, per_field=2, domains=domains)
    fields = [spec.field for step in range(6 * 16) for spec in drawn.specs(step)]
    of_first = np.bincount([f for f in fields if f < 10], minlength=10)
    assert of_first[:8].sum() == of_first[8:].sum()
    assert np.ptp(of_first[:8]) <= 2
    assert [len({f // 10 for f in fields[i : i + 4]}) for i in range(0, len(fields), 4)] == [1] * 96


def test_the_domain_sampler_takes_the_groups_of_its_fields(results):
    labels = read_labels(results, "d", "gene", "batch")
    group_F = read_groups(results, "d", "plate")
    assert group_F.tolist() == ["P1"] * 3 + ["P2"] * 3 + ["P3"] * 3
    drawn = domain_sampler(_Source(), labels, 4, 0, False, group_F, 2)
    assert drawn.domains == (((1, 2), (4, 5)), ((7, 8),))
    assert drawn.per_field == 2
    assert read_groups(results, "d", "uniform") is None
    by_guide = read_groups(results, "d", "perturbation")
    assert groups_of(by_guide, np.arange(9)) == ((0, 3, 6), (1, 4, 7), (2, 5, 8))


def test_sampling_by_perturbation_depends_on_the_layouts(results):
    def key(sampling):
        return sampling_key(results, "d", {"flip": True, "sampling": sampling, "crops_per_field": 1})

    before = {sampling: key(sampling) for sampling in BY}
    fields = pd.read_parquet(results.fields("P1"))
    fields.assign(perturbation="another").to_parquet(results.fields("P1"))
    assert key("uniform") == before["uniform"]
    assert key("plate") == before["plate"]
    assert key("perturbation") != before["perturbation"]
