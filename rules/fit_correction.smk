rule fit_correction:
    input:
        fit=fit_manifests,
        frozen=frozen_basis,
    output:
        manifest="corrections/{model}/{correction}.manifest.json",
        basis="corrections/{model}/{correction}.npz",
    log:
        "logs/fit_correction/{model}/{correction}.log",
    benchmark:
        "benchmarks/fit_correction/{model}/{correction}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("fit_correction"),
        runtime=runtime("fit_correction"),
    params:
        cfg=cfg("fit_correction"),
        code=code("fit_correction"),
        base=BASE,
    message:
        "Correction {wildcards.correction} of {wildcards.model}"
    shell:
        "platemae fit-correction "
        "--model {wildcards.model} --correction {wildcards.correction} "
        "--cfg - --code {params.code} --base {params.base:q} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
