rule qc_plate:
    input:
        plate="plates/{plate}.manifest.json",
        fields=ancient("plates/{plate}.fields.parquet"),
    output:
        manifest="qc/{plate}.manifest.json",
        table="qc/{plate}.parquet",
    log:
        "logs/qc_plate/{plate}.log",
    benchmark:
        "benchmarks/qc_plate/{plate}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory("qc_plate"),
        runtime=runtime("qc_plate", own_plate),
    params:
        cfg=cfg("qc_plate"),
        code=code("qc_plate"),
    message:
        "Plate {wildcards.plate}: quality of every field"
    shell:
        "platemae qc-plate "
        "--plate {wildcards.plate} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
