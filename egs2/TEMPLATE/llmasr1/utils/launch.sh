# shellcheck shell=bash disable=SC2034,SC2086,SC2154  # stage, stop_stage, ... are options of the script that sources this
# Sourced: what a script of stages needs to choose its stages, name missing inputs, and launch commands.

child='' inputs=() job=''
trap '[ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child" || true; }; exit 143' TERM INT HUP

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (${0##*/}) $*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

wanted() {  # STAGE: it is in the range and not left out
    [ "$1" -ge "$stage" ] && [ "$1" -le "$stop_stage" ] && [[ " $skip_stages " != *" $1 "* ]]
}

at_stage() {  # STAGE SENTENCE
    wanted "$1" || return 1
    log "Stage $1: $2"
    inputs=() job="stage $1" length=''  # length: options that replace a training's number of epochs
}

need() {  # FILE STAGE: an input, and the stage that makes it
    [ -e "$1" ] || die "$1 is missing: run stage $2 first (--stage $2 --stop_stage $2)"
    inputs+=("$1")
}

need_conf() {  # OPTION: an input named by the user
    need_file "${!1}" "name an existing one with --$1"
}

need_file() {  # FILE ADVICE
    [ -e "$1" ] || die "no file $1: $2"
    inputs+=("$1")
}

need_encoder() {  # one that is published, or a watcher or a pretraining from which one may still come
    if compgen -G "$encoder_dir/encoder.*.pth" >/dev/null; then return; fi
    if wanted 6; then
        [ "$beside" = false ] || ! wanted 8 || [ -n "$swap_schedule" ] || need_pretraining_to_come
        return
    fi
    if wanted 5 || [ -e "$base_exp/pretrain/config.yaml" ]; then [ -e "$base_exp/pretrain/finished" ] || return 0; fi
    die "no encoder in $encoder_dir: run stages 5 and 6 first, or together with this one (--stage 5 --stop_stage 8)"
}

need_pretraining_to_come() {  # a watcher that begins after it sees the last encoder only
    [ -e "$encoder_dir/cka.jsonl" ] || [ ! -e "$base_exp/pretrain/finished" ] ||
        die "$base_exp/pretrain has ended unwatched, IA-SFT beside it would get the last encoder and no swaps: give" \
            "--ia_sft_epochs N if its epochs are stored (keep_nbest_models), another --base_exp, or --strategy no_swap"
}

supervise() {  # COMMAND...: runs it so that a signal to this script stops it, too
    "$@" &
    child=$!
    wait "$child"
    child=
}

is_done() {  # OUTPUT MARK COMMAND: OUTPUT is there, made by the same command, and no input is newer or gone
    local file
    [ -e "$1" ] && [ -e "$2" ] && [ "$(<"$2")" = "$3" ] || return 1
    for file in ${inputs[@]+"${inputs[@]}"}; do
        [ -e "$file" ] && [ ! "$file" -nt "$2" ] || return 1
    done
}

launch() {  # LAUNCHER OUTPUT LOG COMMAND...: runs a logged command and shows its progress, unless it has been done
    local launcher=$1 output=$2 log_file=$3 first_log=${3/JOB/1} command mark
    shift 3
    command=$(printf '%q ' "$@")
    mark=${command% --nj *}
    if is_done "$output" "$first_log.done" "$mark"; then
        log "$output is up to date (made by the same command from the same inputs)"
        return
    fi
    if [ -n "$log_link" ] && [[ $output == */pretrain/finished && -e $output ]]; then
        die "${output%/*} has ended, and the stages beside would take that for its end: run $job alone to go on with it"
    fi
    mkdir -p "$(dirname "$log_file")"
    rm -f "$first_log.done"
    if [ -n "$log_link" ]; then
        ln -sfnr "$first_log" "$log_link"
        supervise $launcher "$log_file" "$@"
    else
        log "$output, log in $first_log"
        command="$launcher $(printf '%q' "$log_file") $command"
        supervise $python -m espnet_llmasr.bin.run_parallel --job "$job" "$first_log" "$command"
    fi
    echo "$mark" >"$first_log.done"
}
