#!/usr/bin/env bash
# Speech that can be misheard, on two CPU cores; FSDD=<dir> names a copy of that corpus, ./start.sh makes the encoder to
# start from. More options: ./run.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./llmasr.sh \
    --test_sets "test" \
    --local_data_opts "--nj 2" \
    --fs 8000 \
    --nj 2 \
    --stats_utts 2000 \
    --max_duration 10 \
    --nthreads 2 \
    --inference_nj 2 \
    --init_encoder exp_start/pretrain \
    --llm_args "--text data/lm/text" \
    --embedder minilm \
    -- "$@"
