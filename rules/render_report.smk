rule render_report:
    input:
        tables="tables/manifest.json",
        scores=ancient("tables/scores.csv"),
        plates=expand("plates/{plate}.manifest.json", plate=PLATE_NAMES),
        qc=expand("qc/{plate}.manifest.json", plate=PLATE_NAMES),
        models=expand("models/{model}/manifest.json", model=NETWORKS),
        corrected=expand(
            "corrected/{model}/{correction}/{plate}.manifest.json",
            model=names("models"),
            correction=names("corrections"),
            plate=MAP_PLATES,
        ),
        maps=expand(
            "maps/{model}/{correction}.manifest.json",
            model=names("models"),
            correction=names("corrections"),
        ),
        look=PAGE_FILES,
    output:
        manifest="report/manifest.json",
        page=report(
            "report/index.html",
            caption="../workflow/report/report.rst",
            category="Report",
        ),
    log:
        "logs/render_report/all.log",
    benchmark:
        "benchmarks/render_report/all.tsv"
    conda:
        "../envs/platemae-report.yaml"
    threads: 2
    resources:
        mem_mb=memory("render_report"),
        runtime=runtime("render_report"),
    params:
        cfg=cfg("render_report"),
        code=code("render_report"),
    message:
        "The report"
    shell:
        "platemae render-report "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
