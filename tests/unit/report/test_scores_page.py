"""The scores on the page Benchmarks: what is open, what is folded, and nothing lost."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS
from platemae.layout import Results
from platemae.report.blocks import Figure, Fold, Heading, Page, Table, walk
from platemae.report.sections.scores import build


def row(benchmark: str, metric: str, value: float, chance: float) -> list[object]:
    return ["mae", "tvn", benchmark, "all", metric, np.nan, value, value - 0.1, value + 0.1, np.nan, np.nan, 90, chance]


@pytest.fixture
def rows() -> list[list[object]]:
    recalls = [row("corum", "recall", 0.5, 0.1), row("corum", "recall_shuffled", 0.1, 0.1)]
    mixing = [row("mixing", name, 0.5, 0.5) for name in ("same_batch_share", "batch_variance", "label_silhouette")]
    return [*recalls, row("corum", "recall_upper", 0.3, 0.05), *mixing]


def page_of(rows: list[list[object]], root) -> Page:
    scores = pd.DataFrame([[*cells, "", "{}"] for cells in rows], columns=list(SCORE_COLUMNS))
    source = SimpleNamespace(
        scores=(scores, []), corrections=["tvn"], map_plates=["P1", "P2"], results=Results(root), cfg={}
    )
    return Page("benchmarks", "Benchmarks", [build(source)])


def headings(blocks) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Heading)]


def test_the_first_number_of_each_benchmark_is_open_and_all_others_are_behind_one_fold(rows, tmp_path):
    page = page_of(rows, tmp_path)
    blocks = page.sections[0].blocks
    assert headings(blocks) == ["corum · all · recall", "mixing · all · same batch share", "Published and measured"]
    assert sum(isinstance(block, Figure) for block in blocks) == 1  # mixing stands on Corrections
    folds = {block.summary: block for block in blocks if isinstance(block, Fold)}
    more = "2 more numbers of corum: all · recall shuffled and all · recall upper"
    assert headings(folds[more].blocks) == ["corum · all · recall shuffled", "corum · all · recall upper"]
    assert "2 more numbers of mixing: all · batch variance and all · label silhouette" in folds
    assert not any(fold.raw for summary, fold in folds.items() if "more number" in summary)  # opened on paper
    inside = list(walk([page]))
    assert sum(isinstance(block, Figure) for block in inside) == len(rows)
    assert sum(isinstance(block, Table) for block in inside) == len(rows) + 1  # that of all rows


def test_a_check_that_failed_is_never_folded(rows, tmp_path):
    rows[1] = row("corum", "recall_shuffled", 0.4, 0.1)
    blocks = page_of(rows, tmp_path).sections[0].blocks
    assert headings(blocks)[:2] == ["corum · all · recall", "corum · all · recall shuffled"]
    assert any(isinstance(block, Fold) and block.summary.startswith("1 more number of corum") for block in blocks)
