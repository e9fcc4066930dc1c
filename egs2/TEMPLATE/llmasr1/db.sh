# shellcheck shell=bash
# Sourced: where the corpora are. An empty path means: look nearby, or download what may be downloaded.
export FSDD=${FSDD:-}  # free-spoken-digit-dataset, the folder that holds recordings/
