rule fit_intensity:
    input:
        plates=manifests(
            "plates/{plate}.manifest.json",
            plates_of("fit_intensity", "intensity.fit_plates"),
        ),
        qc=manifests(
            "qc/{plate}.manifest.json",
            plates_of("fit_intensity", "intensity.fit_plates"),
        ),
    output:
        manifest="intensity/{intensity}.manifest.json",
        map="intensity/{intensity}.json",
    log:
        "logs/fit_intensity/{intensity}.log",
    benchmark:
        "benchmarks/fit_intensity/{intensity}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 2
    resources:
        mem_mb=memory("fit_intensity"),
        runtime=runtime(
            "fit_intensity",
            plates_of("fit_intensity", "intensity.fit_plates"),
            control_share,
        ),
    params:
        cfg=cfg("fit_intensity"),
        code=code("fit_intensity"),
    message:
        "Intensity map {wildcards.intensity}"
    shell:
        "platemae fit-intensity "
        "--intensity {wildcards.intensity} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
