rule correct_plate:
    input:
        correction="corrections/{model}/{correction}.manifest.json",
        basis=ancient("corrections/{model}/{correction}.npz"),
        embedding="embeddings/{model}/{plate}.manifest.json",
        table=ancient("embeddings/{model}/{plate}.h5ad"),
        unit=unit_manifests,
    output:
        manifest="corrected/{model}/{correction}/{plate}.manifest.json",
        table="corrected/{model}/{correction}/{plate}.h5ad",
    log:
        "logs/correct_plate/{model}/{correction}/{plate}.log",
    benchmark:
        "benchmarks/correct_plate/{model}/{correction}/{plate}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("correct_plate"),
        runtime=runtime("correct_plate"),
    params:
        cfg=cfg("correct_plate"),
        code=code("correct_plate"),
    message:
        "Plate {wildcards.plate}, {wildcards.model}: {wildcards.correction}"
    shell:
        "platemae correct-plate "
        "--model {wildcards.model} --correction {wildcards.correction} --plate {wildcards.plate} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
