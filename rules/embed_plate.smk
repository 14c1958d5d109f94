rule embed_plate:
    input:
        model="models/{model}/manifest.json",
        weights=ancient("models/{model}/model.safetensors"),
        facts=ancient("models/{model}/model.json"),
        plate="plates/{plate}.manifest.json",
        fields=ancient("plates/{plate}.fields.parquet"),
        qc="qc/{plate}.manifest.json",
        verdicts=ancient("qc/{plate}.parquet"),
        domain=domain_manifests,
    output:
        manifest="embeddings/{model}/{plate}.manifest.json",
        table="embeddings/{model}/{plate}.h5ad",
    log:
        "logs/embed_plate/{model}/{plate}.log",
    benchmark:
        "benchmarks/embed_plate/{model}/{plate}.tsv"
    wildcard_constraints:
        model=any_of(NETWORKS),
    conda:
        "../envs/platemae-train.yaml"
    threads: 2
    resources:
        mem_mb=memory("embed_plate"),
        runtime=runtime("embed_plate", own_plate),
        gpu=0,
        tasks_per_gpu=0,
        processes=1,
    params:
        cfg=cfg("embed_plate"),
        code=code("embed_plate"),
        machine=machine("embed_plate"),
    message:
        "Plate {wildcards.plate} through model {wildcards.model}"
    shell:
        "platemae embed-plate "
        "--model {wildcards.model} --plate {wildcards.plate} "
        "--processes {resources.processes} "
        "--cfg - --machine {params.machine:q} --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
