#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new environment (--sdm conda): the package itself, from a checkout.
set -euo pipefail
python -m pip install --no-deps "${PLATEMAE_SOURCE:?set it to the folder of the checkout}"
