#!/usr/bin/env bash
# Joins recordings of spoken digits into data/{train,valid,cka,test}; a second run does nothing.
# FSDD=<dir> names a copy of free-spoken-digit-dataset; without it the data set is downloaded.
# Options are those of fsdd.py (--help), for example: local/data.sh --num_train 20000 --nj 2
set -euo pipefail
exec "${python:-python3}" local/fsdd.py "$@"
