rule train_model:
    input:
        dataset=lambda wildcards: f"datasets/{model_entry(wildcards).dataset}.manifest.json",
        index=ancient(
            lambda wildcards: f"datasets/{model_entry(wildcards).dataset}.parquet"
        ),
        intensity=lambda wildcards: f"intensity/{model_entry(wildcards).intensity}.manifest.json",
        map=ancient(
            lambda wildcards: f"intensity/{model_entry(wildcards).intensity}.json"
        ),
        labels=label_manifests,
        weights=weight_files,
        parent=parent_manifest,
    output:
        manifest="models/{model}/manifest.json",
        weights="models/{model}/model.safetensors",
        facts="models/{model}/model.json",
        history="models/{model}/history.parquet",
        reconstructions="models/{model}/reconstructions.npz",
    log:
        "logs/train_model/{model}.log",
    benchmark:
        "benchmarks/train_model/{model}.tsv"
    wildcard_constraints:
        model=any_of(NETWORKS),
    conda:
        "../envs/platemae-train.yaml"
    threads: 2
    resources:
        mem_mb=memory("train_model", most_attempts=3),
        runtime=1440,
        gpu=0,
        tasks_per_gpu=0,
        nodes=1,
        processes=1,
    params:
        cfg=cfg("train_model"),
        code=code("train_model"),
        machine=machine("train_model"),
        base=BASE,
        snapshots=kept_steps,
    message:
        "Model {wildcards.model}: training"
    shell:
        "platemae train-model "
        "--model {wildcards.model} "
        "--nodes {resources.nodes} --processes {resources.processes} "
        "--base {params.base:q} --snapshots {params.snapshots} "
        "--cfg - --machine {params.machine:q} --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
