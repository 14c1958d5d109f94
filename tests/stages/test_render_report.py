import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS, SCORE_COLUMNS, Manifest
from platemae.errors import ContractError
from platemae.layout import Results
from platemae.report import browser_umap
from platemae.report.blocks import Page as Tab
from platemae.report.page import render
from platemae.report.pages import PAGES
from platemae.report.sections import overview, plates
from platemae.report.source import Source
from platemae.stages import compare_models, render_report
from tests.unit.report.picked import wrong_numbers

HOSTILE = "<script>alert('gene')</script>$x_{"
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito", "WGA")
PLATES = ("P1", "P2")
MODELS = (("mae_tiny", "mae"), ("untrained", "untrained"), ("intensity_means", "profiles"))
CORRECTIONS = (("none", "none"), ("centerscale", "centerscale"), ("tvn", "tvn"))
CFG = {
    "report": {"title": "Screen 7", "umap_neighbors": 10, "seed": 3, "reconstructions": 2},
    "plates": list(PLATES),
    "map_plates": list(PLATES),
    "models": [
        {"name": name, "kind": kind, "dataset": None if kind == "profiles" else "screen", "intensity": "controls"}
        for name, kind in MODELS
    ],
    "corrections": [
        {"name": name, "kind": kind, "batch_unit": "plate", "ridge": 0.5, "n_components": None, "few_controls": "error"}
        | {"fit_on": "negcon", "per": "batch", "center_per_batch": None, "recolor": False, "basis": None}
        | {"method": "zca_cor", "epsilon": 1e-6, "theta": 2.0, "seed": 0, "fit_plates": "all"}
        for name, kind in CORRECTIONS
    ],
    "benchmarks": [{"name": "planted", "kind": "known_relations", "relations": "relations.csv"}],
    "exclude_failed": True,
}


INTENSITY = {
    "clipped": {name: [0.001, 0.0123] for name in CHANNELS},
    "collapsed": dict.fromkeys(CHANNELS, 0.0),
    "grey_levels": dict.fromkeys(CHANNELS, 251) | {"ER": 17},
}


def parts(seed_text: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(seed_text.encode()))


def wells() -> list[tuple[str, str]]:
    names = [f"{row}{column:02d}" for row in "BCDEFG" for column in range(2, 12)]
    kinds = ["negcon", "treatment", "treatment", "treatment", "poscon"] * 12
    return list(zip(names, kinds, strict=True))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def write_manifest(results: Results, stage: str, wildcards: dict, counts: dict, warnings: list[str]) -> None:
    name = "/".join([stage, *wildcards.values()])
    Manifest(stage, f"{zlib.crc32(name.encode()):064x}", counts, warnings).write(results.manifest(stage, **wildcards))


def fake_plate(results: Results, plate: str) -> None:
    rng = parts(plate)
    rows, qc = [], []
    for well, kind in wells():
        for site in ("0", "1"):
            lost = (plate, well, site) == ("P1", "B02", "1")
            group = f"{well[0]}/{int(well[1:])}/{site}"
            gene = HOSTILE if kind == "treatment" else ""
            rows.append([plate, "day1", well, site, 0, 0, group, "", gene, gene, "", "", kind])
            for place, channel in enumerate(CHANNELS):
                level = 900 + 150 * place + 30 * int(well[1:]) + rng.normal(0, 40)
                measures = [rng.normal(0.3, 0.03), 0.001, 200.0, rng.uniform(0.2, 0.5), level, -1.2, 0.3, 0.0]
                measures.append(40.0 - int(well[1:]) if plate == "P1" else 35.0)
                verdict = ("fail", "out of focus in DNA") if lost else ("pass", "")
                if (plate, well, site) == ("P2", "C03", "0"):
                    verdict = ("warn", "cells unusual: 3 (20 to 50)")
                qc.append([plate, well, site, channel, *measures, *verdict])
    write_parquet(results.fields(plate), pd.DataFrame(rows, columns=list(FIELDS_COLUMNS)))
    write_parquet(results.qc(plate), pd.DataFrame(qc, columns=list(QC_COLUMNS)))
    write_manifest(results, "ingest_plate", {"plate": plate}, {"wells": 60, "fields": 120}, [])
    warned = [f"plate {plate}: 1 field is out of focus"] if plate == "P1" else []
    edge = {"measure": "mean", "channel": "ER", "change": -0.081, "deviations": -2.345, "outer": 20, "inner": 40}
    drift = {"measure": "background", "channel": "DNA", "rho": 0.25 + 0.5 * (plate == "P1"), "wells": 60}
    effects = {"edge": [edge | {"beyond": plate == "P1"}], "drift": [drift | {"beyond": plate == "P1"}]}
    counts = {"fields": 120, "failed": len(warned), "warned": int(plate == "P2"), **effects}
    write_manifest(results, "qc_plate", {"plate": plate}, counts, warned)


def fake_model(results: Results, model: str, kind: str) -> None:
    folder = results.model(model)
    folder.mkdir(parents=True)
    facts = {"name": model, "channels": [{"name": c, "stain": c} for c in CHANNELS], "params": 5_500_000}
    facts |= {"training": {"steps": 1500, "gpu_hours": 0.25, "val_mse_share": 0.7213}}
    facts |= {"intensity": {"name": "controls", "maps": {"day1": {"DNA": [100, 4000]}}}}
    (folder / "model.json").write_text(json.dumps(facts))
    if kind == "untrained":
        write_parquet(folder / "history.parquet", pd.DataFrame({"step": [0], "lr": [np.nan], "val_mse": [1.002]}))
    if kind == "mae":
        step = np.arange(50, 1501, 50)
        history = {"step": step, "lr": np.sin(step / 1500 * np.pi) * 1e-3, "mse": 0.7 + np.exp(-step / 300)}
        history |= {"fourier": 9 + np.exp(-step / 300), "loss": 0.79 + np.exp(-step / 300)}
        history["val_mse"] = np.where(step % 250 == 0, 0.72 + np.exp(-step / 300), np.nan)
        write_parquet(folder / "history.parquet", pd.DataFrame(history))
        target = blobs(parts(model), 3, len(CHANNELS), 64)
        shown = (parts("mask").random((3, len(CHANNELS), 4, 4)) < 0.25).repeat(16, 2).repeat(16, 3)
        masked = np.where(shown, target, np.nan)
        arrays = {"target": target, "masked": masked, "reconstruction": 0.8 * target}
        arrays |= {"ratios": [0.25, 0.75], "ratio_masked": np.stack([masked[:2]] * 2)}
        arrays |= {"ratio_reconstruction": np.stack([target[:2]] * 2), "worst": np.stack([target, masked, target], 1)}
        arrays |= {"worst_error": [3.21, 2.0, 1.5], "median_error": 0.8, "worst_plate": ["P1", "P2", "P2"]}
        np.savez(folder / "reconstructions.npz", **arrays, worst_group=["B/2/1", "C/3/0", "D/4/0"])
    write_manifest(results, "train_model", {"model": model}, {"params": 5_500_000}, [])


def blobs(rng: np.random.Generator, crops: int, channels: int, edge: int) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    images = rng.normal(0, 0.05, (crops, channels, edge, edge))
    for crop, channel, _ in np.ndindex(crops, channels, 6):
        cy, cx, radius = *rng.uniform(0, edge, 2), rng.uniform(3, 9)
        images[crop, channel] += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / radius**2)
    return images.astype(np.float32)


def fake_embedding(path: Path, plate: str, spread: float) -> None:
    rng = parts(str(path.relative_to(path.parents[2])))
    names, kinds = zip(*wells(), strict=True)
    shift = {"negcon": 0.0, "treatment": 0.7, "poscon": 2.5}
    x_ND = rng.normal(0, 1, (60, 24)) + np.array([shift[k] for k in kinds])[:, None] + spread * (plate == "P2")
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=[f"{plate}_{well}" for well in names])
    obs = obs.assign(Metadata_Plate=plate, Metadata_Well=names, Metadata_Control_Type=kinds, Metadata_Gene=HOSTILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(x_ND.astype(np.float32), obs=obs).write_h5ad(path)


def fake_scores(results: Results, model: str, correction: str) -> None:
    base = {"mae_tiny": 0.5, "untrained": 0.12, "intensity_means": 0.16}[model]
    value = base * {"none": 0.4, "centerscale": 0.9, "tvn": 1.0}[correction] + 0.05
    detail = json.dumps({"pairs": 120, "gene": HOSTILE})
    rows = [
        ["planted", "relations", "recall", 0.05, value, value - 0.04, value + 0.04, 120, 0.1],
        ["planted", "relations: strong", "recall", 0.05, value + 0.1, value, value + 0.2, 40, 0.1],
        ["planted", "relations", "recall_shuffled", 0.05, 0.1, 0.07, 0.13, 120, 0.1],
        ["replicates", "replicates", "mean_cosine", np.nan, value, value - 0.1, value + 0.9, 60, np.nan],
    ]
    table = pd.DataFrame(
        [[model, correction, *row[:-2], np.nan, np.nan, *row[-2:], "", detail] for row in rows],
        columns=list(SCORE_COLUMNS),
    )
    write_parquet(results.scores(model, correction), table)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    results = Results(tmp_path_factory.mktemp("results"))
    for plate in PLATES:
        fake_plate(results, plate)
    write_manifest(results, "fit_intensity", {"intensity": "controls"}, INTENSITY, [HOSTILE])
    write_manifest(results, "build_dataset", {"dataset": "screen"}, {"train": 200}, [])
    for model, kind in MODELS:
        if kind != "profiles":
            fake_model(results, model, kind)
        for plate in PLATES:
            stage = "import_profiles" if kind == "profiles" else "embed_plate"
            fake_embedding(results.embedding(model, plate), plate, 2.0)
            write_manifest(results, stage, {"model": model, "plate": plate}, {"wells": 60}, [])
        for correction, how in CORRECTIONS:
            pair = {"model": model, "correction": correction}
            facts = {"kind": how} if how == "none" else {"kind": how, "n_controls": 24, "rank": 23, "ridge": 0.5}
            steps = {"steps": ["z-score on all controls", "PCA on all controls"]} if how == "tvn" else {}
            write_manifest(results, "fit_correction", pair, facts | steps, [])
            for plate in PLATES:
                fake_embedding(results.corrected(model, correction, plate), plate, 0.0)
                unit = {"unit": plate, "n_controls": 12, "rank": 11, "ridge": 0.5, "policy": "own"}
                write_manifest(results, "correct_plate", pair | {"plate": plate}, unit, [])
            fake_scores(results, model, correction)
            for stage in ("build_map", "score_map"):
                write_manifest(results, stage, pair, {"genes": 60}, [])
    cfg = {"models": [name for name, _ in MODELS], "corrections": [name for name, _ in CORRECTIONS], "study": []}
    compare_models.run(results, cfg, threads=1).write(results.manifest("compare_models"))
    return results


@pytest.fixture(scope="module", autouse=True)
def _quick_layout() -> Iterator[None]:
    """Stand in for UMAP, which compiles for half a minute; tests/unit/report/test_umap.py tests the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser_umap, "umap", lambda x_ND, neighbors, seed: x_ND[:, :2].astype(float))
        yield


@pytest.fixture(scope="module")
def manifest(results: Results) -> Manifest:
    return render_report.run(results, CFG, threads=1)


class Page(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def page(results: Results, manifest: Manifest) -> Page:
    return Page(results.report().read_text())


def test_the_page_loads_nothing(page: Page) -> None:
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert links
    assert all(link.startswith(("data:image/", "#", "files/")) for link in links)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base"}
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "form-action 'none'" in policy
    style = next(text for text in page.texts if ":root" in text)
    assert "url(" not in style
    assert "@import" not in style


def test_only_scripts_of_ours_run_by_their_digests(results: Results, page: Page) -> None:
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    allowed = set(re.findall(r"'(sha256-[^']+)'", policy.split("script-src")[1]))
    text = results.report().read_text()
    scripts = re.findall(r"<script(?: [^>]*)?>(.*?)</script>", text, re.DOTALL)
    running = [script for script, tag in zip(scripts, page.all("script"), strict=True) if "type" not in tag]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in running]
    assert {f"sha256-{digest}" for digest in digests} == allowed
    assert "unsafe" not in policy.split("script-src")[1]


def test_hostile_names_are_inert(page: Page, results: Results) -> None:
    assert "<script>alert" not in results.report().read_text().lower()
    assert HOSTILE in page.text  # as text: in a warning and in the details of the scores


def test_every_page_is_reached_from_the_bar(page: Page) -> None:
    pages = [section["id"] for section in page.all("section") if section["class"] == "page"]
    assert pages == [plan.key for plan in PAGES]
    tabs = [link["href"] for link in page.all("a") if link.get("id", "").startswith("tab-")]
    assert tabs == [f"#{name}" for name in pages]
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert {"intensity", "training", "reconstructions", "scores", "scaling"} < set(names)  # parts of pages


def test_figures_have_alternative_texts(page: Page, manifest: Manifest) -> None:
    images = page.all("img")
    # 2 plates, 1 of cells, 1 curve, 2 crops, 1 of mask ratios, 2 of worst crops, 3 UMAPs, 4 forests
    assert len(images) == manifest.counts["figures"] == 16
    assert all(len(image["alt"]) > 30 for image in images)
    assert any("failed fields: 1, in wells: 1" in image["alt"] for image in images)


def test_numbers_and_words_of_the_tables(page: Page) -> None:
    assert "excluded by QC 1 0.4% of fields" in page.text
    assert "out of focus in DNA" in page.text
    assert "0.550 [0.510, 0.590]" in page.text  # mae_tiny with tvn
    assert "The highest row is mae_tiny with tvn, 0.550 [0.510, 0.590], n = 120" in page.text
    assert "All 9 rows have equal values or intervals that overlap: not set apart on these plates." in page.text
    assert "value [interval]; n = 120; chance 0.100" in page.text
    assert "qc_plate: plate P1: 1 field is out of focus (P1)" in page.text
    assert "z-score on all controls; PCA on all controls." in page.text
    assert "There is no training curve for untrained (kind untrained). As it is: val mse 1.002." in page.text
    assert "training: val mse share 0.7213 0.7213" in page.text
    assert "P1 B02 1 3.210 4.01" in page.text  # the worst crop: well, field, error, times the median
    assert "With shuffled labels all 9 rows are at chance, as they must be." in page.text
    assert "Without reconstructions: untrained, intensity_means." in page.text


def test_verdicts_edge_drift_and_grey_levels(page: Page) -> None:
    assert "P1 60 120 119 0 1 0.8%" in page.text
    assert "P2 60 120 119 1 0 0.0%" in page.text
    assert "Left out of embedding: 1 field of 1 plate." in page.text
    assert "Fields with a warning, kept: 1" in page.text
    assert "P1: lower at the edge: mean of ER." in page.text
    assert "P1: rises in the order of the wells: background of DNA." in page.text
    assert "P2: " not in page.text.split("Strongest edge effect")[0].split("Edge and drift")[1]
    assert "P2 mean of ER -8.1% -2.35 20 40 background of DNA +0.25 60" in page.text
    assert "controls ER 0.10% 1.23% 0.0% 17" in page.text


def test_a_gate_that_only_warns_is_said(results: Results, manifest: Manifest) -> None:
    sections = [build(Source(results, CFG | {"exclude_failed": False})) for build in (overview.build, plates.build)]
    text = render("T", [Tab("all", "All", sections)])
    assert "failed QC, kept" in text
    assert "Failed, and kept: 1 field of 1 plate." in text


def test_the_page_is_small(results: Results, manifest: Manifest) -> None:
    assert results.report().stat().st_size < 3_000_000
    assert manifest.warnings == []


def test_equal_inputs_give_an_equal_digest_without_times(
    results: Results, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = results.model("mae_tiny") / "model.json"
    before, first = facts.read_text(), results.report().read_text()
    facts.write_text(before.replace("0.25", "0.75"))  # GPU hours
    monkeypatch.setattr(render_report, "now", lambda: "2031-01-02 03:04 UTC")
    try:
        again = render_report.run(results, CFG, threads=1)
    finally:
        facts.write_text(before)
    second = results.report().read_text()
    results.report().write_text(first)  # the page that the other tests read
    assert "2031-01-02" in second
    assert "2031-01-02" not in first
    assert again.digest == manifest.digest


def test_an_empty_results_folder_gives_a_page_of_sentences(tmp_path: Path) -> None:
    results = Results(tmp_path)
    manifest = render_report.run(results, CFG, threads=1)
    page = Page(results.report().read_text())
    assert manifest.counts["figures"] == 0
    assert manifest.counts["missing_manifests"] > 0
    for sentence in (
        "These stages left no manifest",
        "No QC table was found",
        "There is no training curve for mae_tiny",
        "Without enough embedded rows for a picture: mae_tiny",
        "No correction was fitted.",
        "No intensity map was fitted.",
        "No score was measured.",
        "There is no table of published numbers",
        "No manifest was found.",
    ):
        assert sentence in page.text, sentence


def test_broken_reconstructions_are_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    folder = results.model("mae_tiny")
    folder.mkdir(parents=True)
    (folder / "reconstructions.npz").write_bytes(b"no archive")
    with pytest.raises(ContractError, match=r"reconstructions cannot be read"):
        render_report.run(results, CFG, threads=1)


def test_every_number_equals_its_table(results: Results, manifest: Manifest) -> None:
    wrong, compared = wrong_numbers(results.report().read_text(), results.root)
    assert wrong == []
    assert compared > 500


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        (r"(\d) of 9 rows lie clear", lambda m: f"{(int(m[1]) + 5) % 10} of 9 rows lie clear"),
        (r"(rows, \d+|\], n = )\d+", lambda m: f"{m[1]}999"),
        (r"(The highest row is )\S+ with \S+(, )\S+", lambda m: f"{m[1]}untrained with none{m[2]}0.001"),
        (r"(<p class=\"caption\" data-table[^>]*>[^<]*n = )\d+", lambda m: f"{m[1]}999"),
        (r"(<p class=\"caption\" data-table[^>]*>[^<]*chance )0", lambda m: f"{m[1]}7"),
        (r"(<td[^>]*data-column=\"value;[^>]*>)(0\.[1-9])", lambda m: f"{m[1]}-{m[2]}"),
    ],
)
def test_a_number_that_is_altered_is_found(results: Results, manifest: Manifest, pattern: str, change) -> None:
    page, altered = re.subn(pattern, change, results.report().read_text(), count=1)
    assert altered == 1
    assert wrong_numbers(page, results.root)[0]
