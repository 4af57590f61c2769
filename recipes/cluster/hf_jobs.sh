#!/bin/bash
# Reference models of one plan as Hugging Face Jobs, with plan and store in a bucket:
#   hf buckets create me/references --private
#   hf-privacy references plan --config recipe.yaml --output hf://buckets/me/references/run/plan.json
#   PLAN=hf://buckets/me/references/run/plan.json bash recipes/cluster/hf_jobs.sh
# The recipe's model and data must be on the Hub. A Job's disk is lost when it ends, and without a timeout of its own it
# ends after half an hour: each reference goes to the bucket as soon as it is done.
set -euo pipefail
: "${PLAN:?set PLAN to the plan that hf-privacy references plan wrote}"
WORLD="${WORLD:-4}"
FLAVOR="${FLAVOR:-a10g-small}"
for rank in $(seq 0 $((WORLD - 1))); do
    hf jobs run --detach --flavor "$FLAVOR" --timeout 4h --attempts 3 --secrets HF_TOKEN --name "references-$rank" \
        ghcr.io/astral-sh/uv:python3.12-bookworm \
        uvx --from hf-privacy hf-privacy references run --plan "$PLAN" --rank "$rank" --world "$WORLD"
done
hf-privacy references status --plan "$PLAN"
