rule ingest_plate:
    input:
        layout=layout_of,
        metadata=metadata_of,
    output:
        manifest="plates/{plate}.manifest.json",
        fields="plates/{plate}.fields.parquet",
    log:
        "logs/ingest_plate/{plate}.log",
    benchmark:
        "benchmarks/ingest_plate/{plate}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory("ingest_plate"),
        runtime=runtime("ingest_plate", own_plate),
    params:
        cfg=cfg("ingest_plate"),
        code=code("ingest_plate"),
        base=BASE,
    message:
        "Plate {wildcards.plate}: raw folder to OME-Zarr"
    shell:
        "platemae ingest-plate "
        "--plate {wildcards.plate} "
        "--base {params.base:q} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
