#!/usr/bin/env bash
# Runs a command on this machine, once or for each JOB of a range. A bash script in spite of its name: cmd.sh names the
# launchers of Kaldi (run.pl, queue.pl, slurm.pl, ssh.pl), and an ESPnet checkout has Kaldi's own run.pl first in PATH.
#   run.pl [--max-jobs-run n] [--gpu n] [--mem size] [--num-threads n] [JOB=1:n] LOG COMMAND...
set -u
max_jobs=1000 name='' first=1 last=1

while [ $# -gt 0 ]; do
    case $1 in
        --max-jobs-run) max_jobs=$2; shift 2 ;;
        -*) shift 2 ;;  # meant for a cluster
        *=*) name=${1%%=*} first=${1#*=} last=${first#*:} first=${first%:*}; shift ;;
        *) break ;;
    esac
done
if [ $# -lt 2 ] || ! [[ $max_jobs:$first:$last =~ ^[1-9][0-9]{0,8}(:[1-9][0-9]{0,8}){2}$ ]] || ((first > last)); then
    echo "run.pl: expected [--option value]... [JOB=1:n] LOG COMMAND..." >&2
    exit 1
fi

run_job() {  # LOG COMMAND...
    local log=$1 code=0
    shift
    mkdir -p "$(dirname "$log")"
    { printf '#'; printf ' %q' "$@"; printf '\n# started %s\n' "$(date)"; } >"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    trap 'kill -TERM $! 2>/dev/null; wait; exit 143' TERM INT HUP
    wait $! || code=$?
    echo "# ended with code $code, $(date)" >>"$log"
    [ "$code" = 0 ] || echo "run.pl: failed with code $code, read $log" >&2
    return "$code"
}

collect() {  # waits for the oldest job
    wait "${pids[0]}" || failed=$((failed + 1))
    pids=("${pids[@]:1}")
}

failed=0 pids=()
trap 'kill -TERM "${pids[@]}" 2>/dev/null; wait; exit 143' TERM INT HUP
for ((job = first; job <= last; job++)); do
    ((${#pids[@]} < max_jobs)) || collect
    words=("$@")
    [ -z "$name" ] || words=("${words[@]//$name/$job}")
    run_job "${words[@]}" &
    pids+=($!)
done
while ((${#pids[@]})); do collect; done
((failed == 0)) || { echo "run.pl: $failed of $((last - first + 1)) jobs failed" >&2; exit 1; }
