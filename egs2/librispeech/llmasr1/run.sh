#!/usr/bin/env bash
# LibriSpeech, 960 h: LIBRISPEECH=<dir> ./run.sh --ngpu 8 --gpus_pretrain 0-3 --gpus_finetune 4-7 --llm Qwen/Qwen3-1.7B
# Every training is a twentieth of the paper's: epochs, and with them the CKA interval, of 500 instead of 10k updates.
set -euo pipefail
cd "$(dirname "$0")"
short="--num_iters_per_epoch 2000 --scheduler_conf warmup_steps=2000"
exec ./llmasr.sh \
    --test_sets "" \
    --local_data_opts "--nj 16 --cka_utts 200" \
    --nj 16 \
    --gpu_inference true \
    --inference_nj 8 \
    --pretrain_args "$short --scheduler_conf total_steps=100000 --model_conf cr_warmup_batches=4000" \
    --watch_args "--start_step 25000" \
    --align_args "$short --scheduler_conf total_steps=65000" \
    --ia_sft_args "$short --scheduler_conf total_steps=200000" \
    --joint_sft_args "$short --scheduler_conf total_steps=100000" \
    --ctc_head_args "--num_iters_per_epoch 800 --scheduler_conf total_steps=1000 --scheduler_conf warmup_steps=100" \
    -- "$@"
