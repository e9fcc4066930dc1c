#!/usr/bin/env bash
# Speaks the corpus into data/{train,valid,cka,test,start,start_valid}, writes data/lm/text; a second run does nothing.
# FSDD=<dir> names a copy of free-spoken-digit-dataset, which must be given.
# Options are those of misheard.py (--help), for example: local/data.sh --train_hours 4 --nj 2
set -euo pipefail
exec "${python:-python3}" local/misheard.py "$@"
