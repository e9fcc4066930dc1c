#!/usr/bin/env bash
# The bilingual miniature on two CPU cores. More options: ./run.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./llmasr.sh \
    --test_sets "test_zh test_en test_cs" \
    --local_data_opts "--nj 2" \
    --fs 16000 \
    --nj 2 \
    --stats_utts 2000 \
    --max_duration 8 \
    --nthreads 2 \
    --inference_nj 2 \
    -- "$@"
