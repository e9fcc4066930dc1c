#!/usr/bin/env bash
# All training strategies at equal compute, five seeds each, strings of up to three real digits; FSDD=<dir>: the corpus.
#   nohup ./strategies.sh >strategies.log 2>&1 & echo $!     starts the matrix, or goes on with it; prints its process id
#   tail -f strategies.log exp_strategies/*/*/run.log        how far it is
#   kill <process id>                                        stops it with all its trainings (kill -9 would not)
#   ./strategies.sh --out exp_tau_0.95 --strategies ia_sft -- --watch_args "--start_step 200 --threshold 0.95"
#   LENGTH=60 ./strategies.sh --out exp_60 --strategies efin      all trainings at 60 % of their length and compute;
#                                         multiples of 20 divide without a rest
# Options after -- are added to those of run.sh below; the last value counts. Results: exp_strategies/strategies.md, and
# runs.jsonl with a line for each run. More options: ./strategies.sh --help
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck disable=SC1091
. ./path.sh
# shellcheck disable=SC1091
. utils/matrix.sh
epoch="--num_iters_per_epoch $(of 50) --valid_max_frames 4000"
pretrain="$epoch --max_epoch 14 --keep_nbest_models 14 --scheduler_conf total_steps=$(of 900)"
pretrain="$pretrain --scheduler_conf warmup_steps=$(of 100) --model_conf cr_warmup_batches=$(of 230)"
matrix --fs 8000 -- \
    --local_data_opts "--nj 2 --max_digits 3" \
    --test_sets test \
    --nthreads 1 \
    --inference_nj 1 \
    --flops_budget "$(of 1150)e10" \
    --ia_sft_epochs 10 \
    --pretrain_args "$pretrain" \
    --watch_args "--start_step $(of 200)" \
    --align_args "$epoch --max_epoch 3 --scheduler_conf total_steps=$(of 150) --scheduler_conf warmup_steps=$(of 15)" \
    --ia_sft_args "$epoch --scheduler_conf total_steps=$(of 800) --scheduler_conf warmup_steps=$(of 25)" \
    --joint_sft_args "--num_iters_per_epoch $(of 25) --max_frames 1200 --scheduler_conf warmup_steps=$(of 25)"
