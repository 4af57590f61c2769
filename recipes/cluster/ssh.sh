#!/bin/bash
# Reference models of one plan on several machines by ssh, on a file system that they share or an object store:
#   PLAN=/shared/run/plan.json bash recipes/cluster/ssh.sh machine-1 machine-2 machine-3
# With GNU parallel, which gives a machine that is done the next number:
#   parallel --sshlogin machine-1,machine-2 --jobs 1 --retries 3 \
#     hf-privacy references run --plan /shared/run/plan.json --ranks {} ::: {0..15}
set -euo pipefail
: "${PLAN:?set PLAN to the plan that hf-privacy references plan wrote}"
world=$#
rank=0
for machine in "$@"; do
    printf '%s\0%s\0' "$machine" "$rank"
    rank=$((rank + 1))
done | xargs -0 -n 2 -P "$world" sh -c \
    'ssh "$3" hf-privacy references run --plan "$1" --rank "$4" --world "$2"' sh "$PLAN" "$world"
hf-privacy references status --plan "$PLAN"
