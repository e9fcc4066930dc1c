#!/usr/bin/env bash
# AISHELL-1, 150 h, from the weights of FireRedASR-AED, on 1, 2, 4 or 8 GPUs of 80 GB (README.md has the plan):
#   AISHELL1=<dir> ./run.sh --ngpu 8 --gpus_pretrain 0-3 --gpus_finetune 4-7 --init_encoder FireRedASR-AED-L \
#       --llm Qwen/Qwen3-1.7B     more options: --help
# An epoch is a pass over the data, and the interval of CKA. An update has 8 batches, whatever the number of GPUs.
set -euo pipefail
cd "$(dirname "$0")"
update="--shared_batches true --accum_grad 8"
exec ./llmasr.sh \
    --test_sets "" \
    --local_data_opts "--nj 16 --cka_utts 200" \
    --nj 16 \
    --gpu_inference true \
    --inference_nj 1 \
    --pretrain_args "$update --max_epoch 30 --num_iters_per_epoch 2720 --model_conf cr_warmup_batches=8000" \
    --pretrain_args "--scheduler_conf total_steps=10200 --scheduler_conf warmup_steps=1000" \
    --pretrain_args "--scheduler_conf max_lr=2.5e-4" \
    --watch_args "--start_step 2720" \
    --align_args "$update --max_epoch 10 --num_iters_per_epoch 5440" \
    --align_args "--scheduler_conf total_steps=6800 --scheduler_conf warmup_steps=500" \
    --ia_sft_args "$update --max_epoch 25 --num_iters_per_epoch 7760 --pace 680 --final_epochs 11" \
    --ia_sft_args "--scheduler_conf total_steps=24250 --scheduler_conf warmup_steps=500" \
    --joint_sft_args "$update --max_epoch 10 --num_iters_per_epoch 7760" \
    --joint_sft_args "--scheduler_conf total_steps=9700 --scheduler_conf warmup_steps=500" \
    --ctc_head_args "$update --max_epoch 3 --num_iters_per_epoch 2720" \
    --ctc_head_args "--scheduler_conf total_steps=1020 --scheduler_conf warmup_steps=100" \
    -- "$@"
