"""What the overview tells a reader to mind."""

from types import SimpleNamespace

import pandas as pd

from platemae.report.qc import failed_share
from platemae.report.verdicts import judge
from platemae.report.worries import worries

MODELS = [{"name": "mae", "kind": "mae"}, {"name": "zero", "kind": "untrained"}, {"name": "cp", "kind": "profiles"}]
CORRECTIONS = [{"name": "raw", "kind": "none"}, {"name": "tvn", "kind": "tvn"}]


def score(model: str, correction: str, value: float, overlap: str = "none") -> dict:
    keys = {"benchmark": "corum", "source": "CORUM", "metric": "recall", "threshold": 0.05, "n": 90, "chance": 0.1}
    plates = {"plate_ci_low": float("nan"), "plate_ci_high": float("nan"), "detail": "{}"}
    interval = {"ci_low": value - 0.02, "ci_high": value + 0.02}
    return keys | plates | interval | {"model": model, "correction": correction, "value": value, "overlap": overlap}


def told(
    scores: list[dict],
    plates: dict[str, tuple[int, int]],
    batches: list[str],
    twins: dict[str, list[str]] | None = None,
) -> list[str]:
    records = [
        SimpleNamespace(wildcards={"plate": name}, manifest=SimpleNamespace(counts={"failed": f, "fields": n}))
        for name, (f, n) in plates.items()
    ]
    source = SimpleNamespace(
        cfg={"models": MODELS, "corrections": CORRECTIONS},
        corrections=["raw", "tvn"],
        networks=["mae", "zero"],
        untrained=["zero"],
        twins=lambda model: (twins or {}).get(model, []),
        plates=list(plates),
        map_plates=list(plates) or ["P1", "P2"],
        fields=pd.DataFrame({"batch": batches}),
        of=lambda stage: records,
    )
    return [str(sentence) for sentence in worries(source, judge(pd.DataFrame(scores), len(plates)))]


def test_all_that_a_quick_look_would_miss_is_told() -> None:
    scores = [score("mae", "raw", 0.4), score("zero", "raw", 0.3), score("cp", "raw", 0.3)]
    scores += [score("mae", "tvn", 0.31), score("zero", "tvn", 0.3), score("cp", "tvn", 0.5, "labels")]
    title = "corum · CORUM · recall at 0.05"
    assert told(scores, {"P1": (30, 100), "P2": (20, 100)}, ["b1", "b1"]) == [
        "30.0% of the fields of plate P1 failed QC.",
        "All plates are of one batch: nothing here tells whether results hold on another day.",
        "Not set apart from a network with random weights, so training may have added nothing: "
        f"mae under tvn ({title}).",
        f"Lower than without correction, with intervals apart: mae under tvn ({title}).",
        f"Learned from the labels that are scored, so no test: cp ({title}).",
    ]


def test_the_failed_share_leaves_empty_wells_out_of_both_sides() -> None:
    counts = {"fields": 32, "failed": 16, "failed_in_empty_wells": 2, "fields_in_empty_wells": 2}
    share, shown = failed_share("P1", counts)  # 14 of 30, as the warning of the stage says
    assert (share, str(shown)) == (14 / 30, "46.7%")
    assert (
        failed_share("P1", {"fields": 2, "failed": 2, "failed_in_empty_wells": 2, "fields_in_empty_wells": 2})[0] == 0
    )


def test_a_network_below_random_weights_is_called_so_and_no_tie() -> None:
    scores = [score("mae", "raw", 0.2), score("zero", "raw", 0.3), score("mae", "tvn", 0.1), score("zero", "tvn", 0.3)]
    assert told(scores, {}, ["b1", "b2"]) == [
        "Below a network with random weights, with intervals apart: mae under all 2 corrections (corum · CORUM · "
        "recall at 0.05).",
        "Lower than without correction, with intervals apart: mae under tvn (corum · CORUM · recall at 0.05).",
    ]


def test_rows_without_intervals_are_never_called_apart() -> None:
    scores = [
        score("mae", "raw", 0.5),
        score("zero", "raw", 0.45),
        score("mae", "tvn", 0.4),
        score("zero", "tvn", 0.45),
    ]
    bare = [row | {"ci_low": float("nan"), "ci_high": float("nan")} for row in scores]
    assert told(bare, {}, ["b1", "b2"]) == [
        "Lower than a network with random weights, without intervals, so perhaps by chance: mae under tvn (corum · "
        "CORUM · recall at 0.05)."
    ]
    half = [scores[0], bare[2]]
    assert told(half, {}, ["b1", "b2"]) == []
    lost = "Lower than without correction, with intervals apart: mae under tvn (corum · CORUM · recall at 0.05)."
    assert told([scores[0], scores[2]], {}, ["b1", "b2"]) == [lost]


def test_a_screen_of_one_plate_or_of_few_is_called_too_small() -> None:
    scores = [score("mae", "raw", 0.31), score("zero", "raw", 0.3)]
    small = (
        "Not set apart from a network with random weights, on a screen that is too small to tell (one plate, or n "
        "below 30): mae under raw (corum · CORUM · recall at 0.05)."
    )
    assert told(scores, {"P1": (0, 9)}, ["b1"]) == [small]
    assert told([scores[0], scores[1] | {"n": 29}], {}, ["b1", "b2"]) == [small]
    assert "may have added nothing" in told([row | {"n": 30} for row in scores], {}, ["b1", "b2"])[0]


def test_a_worry_is_said_once_for_all_models_corrections_and_benchmarks() -> None:
    first = [score(m, c, 0.3) for m in ("mae", "zero") for c in ("raw", "tvn")]
    more = [row | {"benchmark": "humap", "source": "HUMAP"} for row in first]
    assert told(first + more, {}, ["b1", "b2"]) == [
        "Not set apart from a network with random weights, so training may have added nothing: mae under all 2 "
        "corrections (corum · CORUM · recall at 0.05 and humap · HUMAP · recall at 0.05)."
    ]


def test_a_network_is_held_against_the_same_network_with_random_weights() -> None:
    scores = [score("mae", "raw", 0.3), score("zero", "raw", 0.3), score("cp", "raw", 0.1)]
    (said,) = told(scores, {}, ["b1", "b2"], {"mae": ["zero"]})
    assert "mae under raw" in said
    assert told(scores, {}, ["b1", "b2"], {"mae": ["cp"]}) == []


def test_a_sound_run_worries_nobody() -> None:
    scores = [score("mae", "raw", 0.4), score("zero", "raw", 0.1), score("mae", "tvn", 0.5), score("zero", "tvn", 0.2)]
    assert told(scores, {"P1": (0, 100), "P2": (20, 100)}, ["b1", "b2"]) == []
