#!/usr/bin/env bash
# The encoder from which run.sh starts, in exp_start/pretrain: phoneme CTC on voices that are in no other set, without
# noise. It stands for FireRedASR-AED. More options: ./start.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./run.sh \
    --stage 1 \
    --stop_stage 5 \
    --skip_stages "4" \
    --train_set start \
    --valid_set start_valid \
    --cka_set start_valid \
    --test_sets start_valid \
    --dumpdir dump_start \
    --expdir exp_start \
    --init_encoder "" \
    --pretrain_args "--max_frames 1500 --num_iters_per_epoch 100 --max_epoch 10 --keep_nbest_models 1" \
    --pretrain_args "--scheduler_conf total_steps=1000 --scheduler_conf warmup_steps=100 --model_conf cr_scale=0.0" \
    "$@"
