"""render_report: the page loads nothing, runs nothing of others, and its numbers are those of the tables."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from platemae.contracts import Manifest
from platemae.errors import ContractError
from platemae.layout import Results
from platemae.report import browser_umap
from platemae.report.blocks import Page as Tab
from platemae.report.page import render
from platemae.report.pages import PAGES
from platemae.report.sections import overview, plates
from platemae.report.source import Source
from platemae.stages import compare_models, render_report
from tests.stages.fake_results import (
    CFG,
    CORRECTIONS,
    HOSTILE,
    INTENSITY,
    MODELS,
    PLATES,
    Page,
    fake_embedding,
    fake_model,
    fake_plate,
    fake_scores,
    fake_shifts,
    write_manifest,
)
from tests.unit.report.picked import wrong_numbers


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
            fake_shifts(results, model, correction)
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
    assert "finds 0.550 [0.510, 0.590], n = 120; a network with random weights (untrained with tvn) 0.170" in page.text
    assert "The highest row is mae_tiny with tvn, 0.550 [0.510, 0.590], n = 120" in page.text
    assert "All 9 rows have equal values or intervals that overlap: not set apart on these plates." in page.text
    assert "value [interval]; n = 120; chance 0.100" in page.text
    assert "qc_plate: plate P1: 1 field is out of focus (P1)" in page.text
    assert "z-score on all controls; PCA on all controls." in page.text
    assert "There is no training curve for untrained (kind untrained). As it is: val mse 1.002." in page.text
    assert "training: val mse share 0.7213 0.7213" in page.text
    assert "Worst-reconstructed crops of mae_tiny: the worst 3 of 128 validation crops" in page.text
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
        (r"(random weights \([^)]*\) )0\.\d+", lambda m: f"{m[1]}0.999"),
        (r"(; chance is )0", lambda m: f"{m[1]}7"),
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
