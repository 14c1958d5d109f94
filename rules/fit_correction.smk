rule fit_correction:
    input:
        stats=manifests(
            "control_stats/{model}/{plate}.manifest.json",
            plates_of("fit_correction", "correction.fit_plates"),
        ),
    output:
        manifest="corrections/{model}/{correction}.manifest.json",
        basis="corrections/{model}/{correction}.npz",
    log:
        "logs/fit_correction/{model}/{correction}.log",
    benchmark:
        "benchmarks/fit_correction/{model}/{correction}.tsv"
    conda:
        "../envs/platemae.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        cfg=cfg("fit_correction"),
        code=code("fit_correction"),
    message:
        "Correction {wildcards.correction} of {wildcards.model}"
    shell:
        "platemae fit-correction "
        "--model {wildcards.model} --correction {wildcards.correction} "
        "--cfg {params.cfg:q} --code {params.code} "
        "--threads {threads} --log {log}"
