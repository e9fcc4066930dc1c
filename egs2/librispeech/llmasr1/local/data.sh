#!/usr/bin/env bash
# Prepares the corpora of local/corpora.yaml that db.sh finds. Options are those of utils/prepare_corpora.sh (--help).
set -euo pipefail
exec utils/prepare_corpora.sh "$@"
