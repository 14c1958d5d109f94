rule measure_plate:
    input:
        plate="plates/{plate}.manifest.json",
        fields=ancient("plates/{plate}.fields.parquet"),
        qc="qc/{plate}.manifest.json",
        verdicts=ancient("qc/{plate}.parquet"),
    output:
        manifest="measured/{plate}.manifest.json",
        table="measured/{plate}.h5ad",
    log:
        "logs/measure_plate/{plate}.log",
    benchmark:
        "benchmarks/measure_plate/{plate}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory("measure_plate"),
        runtime=runtime("measure_plate", own_plate),
    params:
        cfg=cfg("measure_plate"),
        code=code("measure_plate"),
    message:
        "Plate {wildcards.plate}: classical features of its cells"
    shell:
        "platemae measure-plate "
        "--plate {wildcards.plate} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
