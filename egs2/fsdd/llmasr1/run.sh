#!/usr/bin/env bash
# Connected real digits on two CPU cores; FSDD=<dir> names a copy of the corpus. More options: ./run.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./llmasr.sh \
    --test_sets "test" \
    --local_data_opts "--nj 2" \
    --fs 8000 \
    --nj 2 \
    --stats_utts 2000 \
    --max_duration 8 \
    --nthreads 2 \
    --inference_nj 2 \
    --pretrain_args "--max_epoch 30 --scheduler_conf total_steps=3000 --model_conf cr_warmup_batches=1000" \
    --watch_args "--start_step 700" \
    --joint_sft_args "--max_epoch 14 --scheduler_conf total_steps=1400" \
    -- "$@"
