#!/usr/bin/env bash
# The whole road on a synthetic retailer, from receipts to an evaluated model beside the baselines; writes demo/ only.
#
#   runs/demo.sh            about ten minutes at most on 2 cores, installation apart
#   EPOCHS=3 runs/demo.sh   a shorter one
set -euo pipefail
cd "$(dirname "$0")/.."
make -s setup

epochs=${EPOCHS:-12}
started=$SECONDS
rm -rf demo

printf '\n$ retailsim make-data\n'
.venv/bin/retailsim make-data --output demo/raw_data --customers 200 --products 300 --stores 8 --weeks 117 --seed 0
BATCH_SIZE=64 MASK_PROB=0.3 runs/recipe.sh demo/raw_data all "$epochs" tiny demo/data demo/checkpoints
printf '\nfrom receipts to evaluation in %d s; everything is in demo/\n' "$((SECONDS - started))"
