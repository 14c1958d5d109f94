rule score_map:
    input:
        map="maps/{model}/{correction}.manifest.json",
        table=ancient("maps/{model}/{correction}.h5ad"),
        known=benchmark_files,
        training=training_manifests("score_map"),
        arms=map_files,
        wells=expand(
            "corrected/{{model}}/{{correction}}/{plate}.manifest.json",
            plate=MAP_PLATES,
        ),
    output:
        manifest="scores/{model}/{correction}.manifest.json",
        scores="scores/{model}/{correction}.parquet",
    log:
        "logs/score_map/{model}/{correction}.log",
    benchmark:
        "benchmarks/score_map/{model}/{correction}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("score_map"),
        runtime=runtime("score_map"),
    params:
        cfg=cfg("score_map"),
        code=code("score_map"),
        base=BASE,
    message:
        "Benchmarks of {wildcards.model}, {wildcards.correction}"
    shell:
        "platemae score-map "
        "--model {wildcards.model} --correction {wildcards.correction} "
        "--base {params.base:q} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
