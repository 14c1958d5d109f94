#!/usr/bin/env bash
# Run by Snakemake inside the new environment (--sdm conda): the package itself, from the checkout that the run started in.
set -euo pipefail
python -m pip install --no-deps "${PLATEMAE_SOURCE:?set it to the folder of the checkout}"
