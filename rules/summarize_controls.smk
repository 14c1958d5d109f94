rule summarize_controls:
    input:
        embedding="embeddings/{model}/{plate}.manifest.json",
        table=ancient("embeddings/{model}/{plate}.h5ad"),
    output:
        manifest="control_stats/{model}/{fit_on}/{plate}.manifest.json",
        stats="control_stats/{model}/{fit_on}/{plate}.npz",
    log:
        "logs/summarize_controls/{model}/{fit_on}/{plate}.log",
    benchmark:
        "benchmarks/summarize_controls/{model}/{fit_on}/{plate}.tsv"
    conda:
        "../envs/platemae-analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory("summarize_controls"),
        runtime=runtime("summarize_controls"),
    params:
        cfg=cfg("summarize_controls"),
        code=code("summarize_controls"),
    message:
        "Plate {wildcards.plate}, {wildcards.model}: statistics of {wildcards.fit_on}"
    shell:
        "platemae summarize-controls "
        "--model {wildcards.model} --fit-on {wildcards.fit_on} --plate {wildcards.plate} "
        "--cfg - --code {params.code} "
        "--threads {threads} --log {log} <<<{params.cfg:q}"
