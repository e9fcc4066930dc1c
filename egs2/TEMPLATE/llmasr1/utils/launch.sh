# shellcheck shell=bash
# Sourced: what a script of stages needs to name missing inputs and to launch commands. The script has set python, and
# log_link (empty, or a file that shall be a link to the log of the running command).

child='' inputs=() job='' words=()
trap '[ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child" || true; }; exit 143' TERM INT HUP

log() { echo "$(date '+%Y-%m-%dT%H:%M:%S') (${0##*/}) $*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

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

words_of() {  # OPTION: sets the array `words` to the words of its value; quotes are a shell's, nothing is expanded
    xargs -r true <<<"${!1}" 2>/dev/null || die "--$1 is '${!1}', in which a quote is not closed"
    mapfile -d '' -t words < <(xargs -r printf '%s\0' <<<"${!1}")
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
    for file in "${inputs[@]}"; do
        [ -e "$file" ] && [ ! "$file" -nt "$2" ] || return 1
    done
}

launch() {  # LAUNCHER OUTPUT LOG COMMAND...: runs a logged command and shows its progress, unless it has been done
    local launcher output=$2 log_file=$3 first_log=${3/JOB/1} command mark
    read -ra launcher <<<"$1"
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
        supervise "${launcher[@]}" "$log_file" "$@"
    else
        log "$output, log in $first_log"
        command="${launcher[*]} $(printf '%q' "$log_file") $command"
        supervise "$python" -m espnet_llmasr.bin.run_parallel --job "$job" "$first_log" "$command"
    fi
    echo "$mark" >"$first_log.done"
}
