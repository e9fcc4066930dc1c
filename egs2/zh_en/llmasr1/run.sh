#!/usr/bin/env bash
# The paper: all corpora of Table 4 that db.sh names, the ten benchmarks of Table 1, the paper's sizes and steps.
#   ./run.sh --ngpu 8 --gpus_pretrain 0-3 --gpus_finetune 4-7 --llm Qwen/Qwen3-1.7B --init_encoder FireRedASR-AED-L
# More options: ./run.sh --help, local/data.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./llmasr.sh \
    --test_sets "" \
    --local_data_opts "--nj 64" \
    --nj 64 \
    --inventory zh_en_yue \
    --num_splits 64 \
    --gpu_inference true \
    --inference_nj 8 \
    --benchmark_conf conf/benchmark.yaml \
    -- "$@"
