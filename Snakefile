# Plates in, perturbation maps out. `platemae run` calls this file stage by stage; plain `snakemake` works too.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.25")

if not workflow.overwrite_configfiles:

    configfile: Path(workflow.basedir) / "config.yaml"


include: "rules/common.smk"


# All outputs are relative to the results folder, and Snakemake keeps its records there: a moved folder stays valid.
workdir: RESULTS


report: "workflow/report/workflow.rst"


include: "rules/ingest_plate.smk"
include: "rules/qc_plate.smk"
include: "rules/measure_plate.smk"
include: "rules/fit_intensity.smk"
include: "rules/build_dataset.smk"
include: "rules/train_model.smk"
include: "rules/embed_plate.smk"
include: "rules/import_profiles.smk"
include: "rules/summarize_controls.smk"
include: "rules/fit_correction.smk"
include: "rules/correct_plate.smk"
include: "rules/build_map.smk"
include: "rules/score_map.smk"
include: "rules/compare_models.smk"
include: "rules/render_report.smk"


localrules:
    all,
    ingest_all,
    qc_all,
    measure_all,
    intensity_all,
    datasets_all,
    models_all,
    embeddings_all,


rule all:
    default_target: True
    input:
        "report/manifest.json",
        "tables/manifest.json",


rule ingest_all:
    input:
        expand("plates/{plate}.manifest.json", plate=PLATE_NAMES),


rule qc_all:
    input:
        expand("qc/{plate}.manifest.json", plate=PLATE_NAMES),


rule measure_all:
    input:
        expand("measured/{plate}.manifest.json", plate=PLATE_NAMES),


rule intensity_all:
    input:
        expand("intensity/{intensity}.manifest.json", intensity=CONFIG.used_intensity),


rule datasets_all:
    input:
        expand("datasets/{dataset}.manifest.json", dataset=CONFIG.used_datasets),


rule models_all:
    input:
        expand("models/{model}/manifest.json", model=NETWORKS),


rule embeddings_all:
    input:
        expand(
            "embeddings/{model}/{plate}.manifest.json",
            model=names("models"),
            plate=PLATE_NAMES,
        ),
