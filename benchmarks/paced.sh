#!/usr/bin/env bash
# Trains a recipe twice, the second time beside two busy loops, and compares the SHA-256 of all weights and encoders:
# with a pace the result of IA-SFT depends on the seed alone. Exit code 1 if a file differs.
#   [FSDD=<dir>] benchmarks/paced.sh RECIPE [OPTION OF run.sh]...
#   benchmarks/paced.sh egs2/mini_zh_en/llmasr1      stages 1-10 of the demo; an hour or two on two cores
# The tracked files are copied to two temporary folders. Standard output: <SHA-256> <file>, once if both runs agree.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
recipe=$1
shift
work=$(mktemp -d)
loops=()
trap 'kill "${loops[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
for load in quiet busy; do
    mkdir "$work/$load"
    git -C "$root" ls-files -z | tar -C "$root" --null -T - -cf - | tar -C "$work/$load" -xf -
    [ ! -e "$root/.venv" ] || ln -s "$(realpath "$root/.venv")" "$work/$load/.venv"
    if [ "$load" = busy ]; then
        for _ in 1 2; do
            while :; do :; done &
            loops+=($!)
        done
    fi
    began=$SECONDS
    (cd "$work/$load/$recipe" && PYTHONPATH=$work/$load ./run.sh --stop_stage 10 "$@") >"$work/$load.log" 2>&1 ||
        { tail -n 30 "$work/$load.log" >&2; exit 1; }
    echo "$load: $((SECONDS - began)) s" >&2
    cut -d '"' -f 1-9 "$work/$load/$recipe/exp/ia_sft/swaps.jsonl" >&2
    (cd "$work/$load/$recipe" && sha256sum exp/*/latest.pth exp/encoders/encoder.*.pth) >"$work/$load.sha256"
done
cat "$work/quiet.sha256"
diff "$work/quiet.sha256" "$work/busy.sha256" >&2
