#!/usr/bin/env bash
# The founding document's "Complete Training Recipe", commands 1-7, on any source.
#
#   runs/recipe.sh [INPUT] [NROWS] [EPOCHS] [PRESET] [DATA_DIR] [CHECKPOINT_DIR]
#
# Each argument may also be given as an environment variable of that name (make recipe NROWS=all). Left out:
#   INPUT           raw_data      CSV or Parquet file, or folder of weekly files
#   NROWS           10000         rows to take, as whole customers; "all" takes every row
#   EPOCHS          20            epochs; below 20 warm-up and fine-tuning take one epoch each
#   PRESET          full          tiny (seconds), small (laptop), best (wider; a GPU helps), full (the document's)
#   DATA_DIR        data          root of everything that the stages write
#   CHECKPOINT_DIR  checkpoints   where the model goes
#   BATCH_SIZE      256           baskets per step (only as a variable)
#   MASK_PROB       0.15          share of a basket's products that is hidden in training (only as a variable)
#   PYTHON          .venv/bin/python where there is one, else python
# What is given is seen from the folder in which this is called; what is left out lies in the repository.
#
#   runs/recipe.sh raw_data all 20 small        all rows, laptop
set -euo pipefail
called_from=$PWD
cd "$(dirname "$0")/.."

# seen PATH: a relative path of the caller's, as it is called from here
seen() {
  case $1 in
    "" | /*) printf '%s' "$1" ;;
    *) [ "$called_from" = "$PWD" ] && printf '%s' "$1" || printf '%s' "$called_from/$1" ;;
  esac
}

input=$(seen "${1:-${INPUT:-}}")
nrows=${2:-${NROWS:-10000}}
epochs=${3:-${EPOCHS:-20}}
preset=${4:-${PRESET:-full}}
data_dir=$(seen "${5:-${DATA_DIR:-}}")
checkpoint_dir=$(seen "${6:-${CHECKPOINT_DIR:-}}")
input=${input:-raw_data}
data_dir=${data_dir:-data}
checkpoint_dir=${checkpoint_dir:-checkpoints}
[ -x .venv/bin/python ] && default_python=.venv/bin/python || default_python=python
python=${PYTHON:-$default_python}

take=()
[ "$nrows" = all ] || take=(--nrows "$nrows")
# Warm-up (3 epochs) and fine-tuning (5) belong to the document's 20; a shorter run takes one epoch each, or none.
phases=()
if [ "$epochs" -lt 20 ]; then
  edge=$((epochs > 2 ? 1 : 0))
  phases=(--warmup-epochs "$edge" --finetune-epochs "$edge")
fi

step() {
  printf '\n$ python -m %s\n' "$*"
  "$python" -m "$@"
}

# 1. Data pipeline
step src.data_pipeline.run_pipeline --input "$input" ${take[@]+"${take[@]}"} --data-dir "$data_dir"
# 2. Feature engineering
step src.feature_engineering.run_feature_engineering ${take[@]+"${take[@]}"} --data-dir "$data_dir"
# 3. Tensor preparation
step src.tensor_preparation.run_tensor_preparation --data-dir "$data_dir"
# 4. Training samples
step src.training.prepare_samples --data-dir "$data_dir"
# 5. Tensor cache
step src.training.prepare_tensor_cache --data-dir "$data_dir"
# 6. Train
step src.training.train --epochs "$epochs" --batch-size "${BATCH_SIZE:-256}" --mask-prob "${MASK_PROB:-0.15}" ${phases[@]+"${phases[@]}"} --preset "$preset" \
  --data-dir "$data_dir" --checkpoint-dir "$checkpoint_dir"
# 7. Evaluate
step src.training.evaluate "$checkpoint_dir/best_model.pt" --detailed --data-dir "$data_dir"
