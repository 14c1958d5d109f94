rule build_map:
    input:
        corrected=manifests(
            "corrected/{model}/{correction}/{plate}.manifest.json",
            lambda wildcards: MAP_PLATES,
        ),
        training=training_manifests("build_map"),
        arms=map_files,
    output:
        manifest="maps/{model}/{correction}.manifest.json",
        map="maps/{model}/{correction}.h5ad",
        plates="maps/{model}/{correction}.plates.parquet",
    log:
        "logs/build_map/{model}/{correction}.log",
    benchmark:
        "benchmarks/build_map/{model}/{correction}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("build_map"),
        runtime=runtime("build_map"),
    params:
        cfg=cfg("build_map"),
        code=code("build_map"),
        base=BASE,
    message:
        "Map of {wildcards.model}, {wildcards.correction}"
    shell:
        "platemae build-map "
        "--model {wildcards.model} --correction {wildcards.correction} "
        "--base {params.base:q} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
