#!/usr/bin/env bash
# Runs a command on this machine, once or for each JOB of a range. A bash script in spite of its name: cmd.sh names the
# launchers of Kaldi (run.pl, queue.pl, slurm.pl, ssh.pl), which are called in the same way.
#   run.pl [--max-jobs-run n] [--gpu n] [--host name] [--mem size] [--num-threads n] [JOB=1:n] LOG COMMAND...
# With --gpu n each job sees n of the GPUs in CUDA_VISIBLE_DEVICES, in turn; all of the machine if that is not set. With
# --host it runs through ssh on a machine that has the same folders.
set -u
max_jobs=1000 name='' first=1 last=1 gpus=0 host='' gpu_list=()

while [ $# -gt 0 ]; do
    case $1 in
        --max-jobs-run) max_jobs=$2; shift 2 ;;
        --gpu) gpus=$2; shift 2 ;;
        --host) host=$2; shift 2 ;;
        -*) shift 2 ;;  # meant for a cluster
        *=*) name=${1%%=*} first=${1#*=} last=${first#*:} first=${first%:*}; shift ;;
        *) break ;;
    esac
done
if [ $# -lt 2 ] || ! [[ $gpus:$max_jobs:$first:$last =~ ^[0-9]{1,4}(:[1-9][0-9]{0,8}){3}$ ]] || ((first > last)); then
    echo "run.pl: expected [--option value]... [JOB=1:n] LOG COMMAND..." >&2
    exit 1
fi
[ "$gpus" = 0 ] || IFS=, read -ra gpu_list <<<"${CUDA_VISIBLE_DEVICES:-}"
if ((${#gpu_list[@]} && gpus > ${#gpu_list[@]})); then
    echo "run.pl: --gpu is $gpus, but CUDA_VISIBLE_DEVICES is $CUDA_VISIBLE_DEVICES" >&2
    exit 1
fi

take_gpus() {  # JOB: leaves this job its GPUs
    local number mine=()
    for ((number = ($1 - 1) * gpus; number < $1 * gpus; number++)); do
        mine+=("${gpu_list[number % ${#gpu_list[@]}]}")
    done
    CUDA_VISIBLE_DEVICES=$(IFS=, && echo "${mine[*]}")
    export CUDA_VISIBLE_DEVICES
}

run_job() {  # LOG COMMAND...
    local log=$1 code=0 variable there
    shift
    mkdir -p "$(dirname "$log")"
    { printf '#'; printf ' %q' "$@"; printf '\n# started %s\n' "$(date)"; } >"$log"
    if [ -n "$host" ]; then  # with a terminal (-tt), whose end is the end of the command there
        there="stty -opost; cd $(printf %q "$PWD") && . ./path.sh && export"
        for variable in OMP_NUM_THREADS CUDA_VISIBLE_DEVICES; do
            [ -z "${!variable:-}" ] || there+=" $variable=${!variable}"
        done
        set -- ssh -tt -o BatchMode=yes "$host" "$there && exec $(printf '%q ' "$@")"
    fi
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
    { ((${#gpu_list[@]} == 0)) || take_gpus "$job"; run_job "${words[@]}"; } &
    pids+=($!)
done
while ((${#pids[@]})); do collect; done
((failed == 0)) || { echo "run.pl: $failed of $((last - first + 1)) jobs failed" >&2; exit 1; }
