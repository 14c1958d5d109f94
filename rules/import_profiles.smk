rule import_profiles:
    input:
        plate="plates/{plate}.manifest.json",
        fields=ancient("plates/{plate}.fields.parquet"),
        sources=profile_sources,
    output:
        manifest="embeddings/{model}/{plate}.manifest.json",
        table="embeddings/{model}/{plate}.h5ad",
    log:
        "logs/import_profiles/{model}/{plate}.log",
    benchmark:
        "benchmarks/import_profiles/{model}/{plate}.tsv"
    wildcard_constraints:
        model=any_of(PROFILES),
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("import_profiles"),
        runtime=runtime("import_profiles"),
    params:
        cfg=cfg("import_profiles"),
        code=code("import_profiles"),
        base=BASE,
    message:
        "Plate {wildcards.plate}: {wildcards.model} from a table"
    shell:
        "platemae import-profiles "
        "--model {wildcards.model} --plate {wildcards.plate} "
        "--base {params.base:q} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
