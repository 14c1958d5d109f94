rule compare_models:
    input:
        scores=expand(
            "scores/{model}/{correction}.manifest.json",
            model=names("models"),
            correction=names("corrections"),
        ),
        models=expand("models/{model}/manifest.json", model=NETWORKS),
        maps=expand(
            "maps/{model}/{correction}.manifest.json",
            model=names("models"),
            correction=names("corrections"),
        ),
        published=[
            f"{workflow.basedir}/workflow/resources/published.csv",
            *published_files(),
        ],
    output:
        manifest="tables/manifest.json",
        scores=report(
            "tables/scores.csv",
            caption="../workflow/report/scores.rst",
            category="Benchmarks",
        ),
    log:
        "logs/compare_models/all.log",
    benchmark:
        "benchmarks/compare_models/all.tsv"
    conda:
        "../envs/platemae-report.yaml"
    threads: 1
    resources:
        mem_mb=memory("compare_models"),
        runtime=runtime("compare_models"),
    params:
        cfg=cfg("compare_models"),
        code=code("compare_models"),
        base=BASE,
    message:
        "Tables of all models and corrections"
    shell:
        "platemae compare-models "
        "--base {params.base:q} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
