#!/usr/bin/env bash
# AISHELL-1, 150 h: AISHELL1=<dir> ./run.sh --ngpu 8 --gpus_pretrain 0-3 --gpus_finetune 4-7 --llm Qwen/Qwen3-1.7B
# Every training is a fiftieth of the paper's: epochs, and with them the CKA interval, of 200 instead of 10k updates.
set -euo pipefail
cd "$(dirname "$0")"
short="--num_iters_per_epoch 800 --scheduler_conf warmup_steps=1000"
exec ./llmasr.sh \
    --test_sets "" \
    --local_data_opts "--nj 16 --cka_utts 200" \
    --nj 16 \
    --pretrain_args "$short --scheduler_conf total_steps=40000 --model_conf cr_warmup_batches=2000" \
    --watch_args "--start_step 10000" \
    --align_args "$short --scheduler_conf total_steps=26000" \
    --ia_sft_args "$short --scheduler_conf total_steps=80000" \
    --joint_sft_args "$short --scheduler_conf total_steps=40000" \
    --ctc_head_args "--num_iters_per_epoch 320 --scheduler_conf total_steps=400 --scheduler_conf warmup_steps=40" \
    -- "$@"
