"""Exact reruns (DESIGN section 4): after an edit, exactly these rules run again, and no other, on SLURM as here."""

import shutil

import pytest
import yaml

from tests.workflow.conftest import jobs_of, keep_plates, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

AFTER_MAPS = {"score_map": 4, "compare_models": 1, "render_report": 1}
AFTER_EMBEDDING = {"summarize_controls": 2, "fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2}
ENDS = {"compare_models": 1, "render_report": 1}


@pytest.fixture(scope="module")
def done_project(tmp_path_factory, project, tiny_screen):
    """A project that ran to the end, copied for no test: each test puts back what it edits."""
    made = make_project(tmp_path_factory.mktemp("truth") / "project", project, tiny_screen)
    made.run()
    assert made.stale() == {}, "a second run has nothing to do"
    return made


@pytest.fixture
def done(done_project):
    """Restore configuration, tables and package after a test that only looked (dry run)."""
    saved = done_project.root.parent / "saved"
    for name in ("config.yaml", "screen/plates.tsv", "src"):
        source, target = done_project.root / name, saved / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    yield done_project
    for name in ("config.yaml", "screen/plates.tsv", "src"):
        source, target = saved / name, done_project.root / name
        if source.is_dir():
            shutil.rmtree(target)
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
    shutil.rmtree(saved)


def change(project, **sections):
    """Change sections of the configuration; a function edits the section in place."""
    path = project.root / "config.yaml"
    values = yaml.safe_load(path.read_text())
    for key, edit in sections.items():
        values[key] = edit(values.get(key))
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def under_both(project):
    """Return what is stale, which is the same on this machine and on SLURM, where jobs go in groups with other limits.

    A dry run asks no SLURM. Not all rows of the table are looked at twice, as each costs seconds.
    """
    local, slurm = (project.stale("--profile", name) for name in ("local", "slurm"))
    assert local == slurm
    return local


def test_the_report_of_snakemake_quotes_values_that_hold(done):
    page = done.root / "snakemake-report.html"
    done.call("-m", "snakemake", "--report", page, "--cores", "1")
    text = page.read_text()
    page.unlink()
    for words in ("take 4 steps of 4 crops", "75.0 % of the patches", "mae, means under none, tvn"):  # 75: a default
        assert words in " ".join(text.replace("\\n", " ").split()), words
    assert "intervals from 20 bootstrap draws" in " ".join(text.replace("\\n", " ").split())


def test_a_value_of_one_stage(done):
    change(done, train=lambda train: train | {"lr": 2e-3})
    assert under_both(done) == {"train_model": 1, "embed_plate": 2, **AFTER_EMBEDDING, **ENDS}


def test_a_value_of_the_report(done):
    change(done, report=lambda _: {"title": "Another title"})
    assert done.stale() == {"render_report": 1}


def test_a_value_of_one_models_own_training(done):
    change(done, models=lambda models: [models[0] | {"embed": {"tiling": "reflect"}}, models[1]])
    assert done.stale() == {"embed_plate": 2, **AFTER_EMBEDDING, **ENDS}


def test_a_gate_re_embeds_and_trains_nothing(done):
    change(done, qc=lambda _: {"gate": "warn"})
    both = {rule: 2 * count for rule, count in AFTER_EMBEDDING.items()}
    assert done.stale() == {"embed_plate": 2, "import_profiles": 2, **both, **ENDS}


def test_a_gate_trains_again_where_the_dataset_follows_it(done):
    change(done, datasets=lambda entries: [entries[0] | {"qc": "follow"}])
    assert done.stale() == {}
    change(done, qc=lambda _: {"gate": "warn"})
    assert {"build_dataset": 1, "train_model": 1, "embed_plate": 2}.items() <= done.stale().items()
    assert not {"ingest_plate", "qc_plate", "fit_intensity"} & done.stale().keys()


def test_illumination_measures_and_trains_again_and_ingests_nothing(done):
    change(done, qc=lambda qc: (qc or {}) | {"illumination": "retrospective"})
    both = {rule: 2 * count for rule, count in AFTER_EMBEDDING.items()}
    networks = {"fit_intensity": 1, "build_dataset": 1, "train_model": 1, "embed_plate": 2}
    assert done.stale() == {"qc_plate": 2, **networks, "import_profiles": 2, **both, **ENDS}


def test_a_comment_and_a_docstring(done):
    path = done.root / "src/platemae/models/mae.py"
    path.write_text(path.read_text().replace('"""', '"""Other words. ', 1) + "\n# a comment\n")
    assert under_both(done) == {}


def test_a_real_change_in_a_module_of_one_stage(done):
    path = done.root / "src/platemae/benchmarks/recall.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert done.stale() == AFTER_MAPS


def test_a_real_change_in_a_module_of_one_kind_of_correction(done):
    path = done.root / "src/platemae/correction/tvn.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert under_both(done) == {"fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2, **ENDS}


def test_the_code_of_the_report(done):
    path = done.root / "src/platemae/report/page.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert done.stale() == {"render_report": 1}


@pytest.mark.parametrize("look", ["templates/blocks/table.html.j2", "assets/tabs.js"])
def test_the_look_of_the_report(done, look):
    path = done.root / "src/platemae/report" / look
    path.write_text(path.read_text() + "\n")
    assert done.stale() == {"render_report": 1}


def test_code_that_makes_no_result(done):
    for name in ("cli.py", "logs.py", "errors.py", "layout.py", "run.py"):
        path = done.root / "src/platemae" / name
        path.write_text(path.read_text() + "\nADDED = 1\n")
    assert done.stale() == {}


def test_a_touched_layout(done):
    for path in (done.root / "screen/layouts").iterdir():
        path.write_text(path.read_text())
    (done.root / "screen/plates.tsv").touch()
    assert done.stale() == {}


def test_keys_and_rows_in_another_order(done):
    values = yaml.safe_load((done.root / "config.yaml").read_text())
    values["models"] = [dict(reversed(entry.items())) for entry in values["models"]]
    values["train"] = dict(reversed(values["train"].items()))
    (done.root / "config.yaml").write_text(yaml.safe_dump(dict(reversed(values.items())), sort_keys=False))
    header, *rows = (done.root / "screen/plates.tsv").read_text().splitlines()
    (done.root / "screen/plates.tsv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert under_both(done) == {}


def test_a_new_plate(done):
    keep_plates(done.root, ("P1", "P2", "P3"))
    assert under_both(done) == {
        "ingest_plate": 1,
        "qc_plate": 1,
        "embed_plate": 1,
        "import_profiles": 1,
        "summarize_controls": 2,
        "correct_plate": 4,
        "build_map": 4,
        **AFTER_MAPS,
    }


def test_a_plate_that_leaves_the_maps(done):
    change(done, map=lambda _: {"plates": ["P1"]})
    assert done.stale() == {"build_map": 4, **AFTER_MAPS}


def test_a_plate_to_train_on_alone(done):
    """It is neither embedded nor scored."""
    keep_plates(done.root, ("P1", "P2", "P3"))
    change(done, map=lambda _: {"plates": ["P1", "P2"]})
    assert done.stale() == {"ingest_plate": 1, "qc_plate": 1, "render_report": 1}


def test_a_new_model(done):
    change(done, models=lambda models: [*models, models[0] | {"name": "floor", "kind": "untrained"}])
    assert done.stale() == {"train_model": 1, "embed_plate": 2, **AFTER_EMBEDDING, **ENDS}


def test_a_twin_of_a_model_waits_for_it(done):
    """It shares its training: it exports when that is finished, and holds no machine to wait."""
    change(done, models=lambda models: [*models, models[0] | {"name": "twin", "embed": {"tiling": "reflect"}}])
    assert done.stale() == {"train_model": 1, "embed_plate": 2, **AFTER_EMBEDDING, **ENDS}
    change(done, train=lambda train: train | {"lr": 2e-3})
    assert done.stale("--target", "models/mae/manifest.json") == {"train_model": 1}
    assert done.stale("--target", "models/twin/manifest.json") == {"train_model": 2}


def test_what_moves_results_by_rounding_alone(done):
    cache = {"cache": "$TMPDIR", "cache_gb": 5.0}
    machine = {"device": "cpu", "compile": True, "accumulate": 2, "activation_checkpointing": True, "sharding": "ddp"}
    change(done, train=lambda train: train | cache | machine, embed=lambda embed: (embed or {}) | {"batch": 3})
    assert under_both(done) == {}


def test_a_model_of_classical_features(done):
    change(done, models=lambda models: [*models, {"name": "cells", "kind": "classical"}])
    assert done.stale() == {"measure_plate": 2, "import_profiles": 2, **AFTER_EMBEDDING, **ENDS}


def test_a_new_correction(done):
    change(done, corrections=lambda entries: [*entries, entries[0] | {"name": "scaled", "kind": "centerscale"}])
    assert done.stale() == {"fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2, **ENDS}


def test_a_correction_fitted_on_other_wells(done):
    """Statistics of these wells are added; nothing of the other corrections runs again."""
    for fit_on in ("all", "Metadata_Control_Type != 'poscon'"):
        change(
            done, corrections=lambda entries, wells=fit_on: [*entries[:2], entries[1] | {"name": "x", "fit_on": wells}]
        )
        added = {"summarize_controls": 4, "fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2}
        assert done.stale() == {**added, **ENDS}


def test_a_key_that_a_kind_does_not_read(done):
    change(
        done, corrections=lambda entries: [entries[0] | {"batch_unit": "plate"}, entries[1] | {"few_controls": "error"}]
    )
    assert done.stale() == {}


def test_a_correction_with_the_basis_of_another(done):
    frozen = {"name": "frozen", "kind": "tvn", "basis": "../results/corrections/{model}/tvn.npz"}
    change(done, corrections=lambda entries: [*entries, frozen])
    assert done.stale() == {"fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2, **ENDS}


def test_a_joint_correction_is_fitted_again_for_a_new_plate(done):
    joint = {"name": "joint", "kind": "harmony"}
    change(done, corrections=lambda entries: [*entries, joint])
    one = {"fit_correction": 2, "correct_plate": 4, "build_map": 2, "score_map": 2}
    assert done.stale() == {**one, **ENDS}


def test_a_new_benchmark(done):
    change(done, benchmarks=lambda entries: [*entries, {"name": "replicates", "kind": "replicate_consistency"}])
    assert done.stale() == AFTER_MAPS


def test_results_moved_to_another_folder(done):
    (done.root / "results").rename(done.root / "elsewhere")
    try:
        change(done, results=lambda _: "elsewhere")
        assert done.stale() == {}
        change(done, report=lambda _: {"title": "Still compared after the move"})
        assert done.stale() == {"render_report": 1}
    finally:
        (done.root / "elsewhere").rename(done.root / "results")


@pytest.mark.parametrize("target", ["embeddings_all", "all"])
def test_a_reader_that_leaves_pixels_equal_runs_ingest_alone(done, target):
    """The one row that needs a real run: equal content stops the rerun between the calls of ``platemae run``."""
    path = done.root / "src/platemae/readers/synthetic.py"
    path.write_text(path.read_text() + f"\nADDED_{target.upper()} = 1\n")
    output = done.run("--target", target)
    assert jobs_of(output.stdout + output.stderr) == {"ingest_plate": 2}
    assert done.stale() == {}
