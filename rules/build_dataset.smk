rule build_dataset:
    input:
        plates=manifests(
            "plates/{plate}.manifest.json",
            plates_of("build_dataset", "dataset.plates"),
        ),
        qc=manifests(
            "qc/{plate}.manifest.json", plates_of("build_dataset", "dataset.plates")
        ),
    output:
        manifest="datasets/{dataset}.manifest.json",
        index="datasets/{dataset}.parquet",
    log:
        "logs/build_dataset/{dataset}.log",
    benchmark:
        "benchmarks/build_dataset/{dataset}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("build_dataset"),
        runtime=runtime("build_dataset"),
    params:
        cfg=cfg("build_dataset"),
        code=code("build_dataset"),
    message:
        "Training set {wildcards.dataset}"
    shell:
        "platemae build-dataset "
        "--dataset {wildcards.dataset} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
