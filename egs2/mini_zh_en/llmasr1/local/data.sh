#!/usr/bin/env bash
# Synthesises the bilingual corpus into data/{train,valid,cka,test_zh,test_en,test_cs}; a second run does nothing.
# Options are those of mini_zh_en.py (--help), for example: local/data.sh --train_hours 5 --nj 2
set -euo pipefail
exec "${python:-python3}" local/mini_zh_en.py "$@"
