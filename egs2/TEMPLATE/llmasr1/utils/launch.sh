# shellcheck shell=bash
# Sourced: what a script of stages needs to name missing inputs and to launch commands. The script has set python, and
# log_link (empty, or a file that shall be a link to the log of the running command).

child='' inputs=() job='' words=()
rendezvous=()  # options of run_parallel where the jobs are nodes of one training
declare -A held=()  # folders, see hold
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

also() {  # FILE...: those that exist become inputs
    local file
    for file in "$@"; do [ ! -f "$file" ] || inputs+=("$file"); done
}

words_of() {  # OPTION: sets the array `words` to the words of its value; quotes are a shell's, nothing is expanded
    xargs -r true <<<"${!1}" 2>/dev/null || die "--$1 is '${!1}', in which a quote is not closed"
    # shellcheck disable=SC2034  # read by the caller
    mapfile -d '' -t words < <(xargs -r printf '%s\0' <<<"${!1}")
    also "${words[@]#*=}" "${words[@]%%:*}"  # files that the words name: FILE, file=FILE, FILE:part:part
}

supervise() {  # COMMAND...: runs it so that a signal to this script stops it, too
    local code=0
    "$@" &
    child=$!
    wait "$child" || code=$?
    child=
    return "$code"
}

end_together() {  # whatever ends this script, a process beside then ends all that it has started
    [ -z "${LLMASR_RUN:-}" ] || return 0  # the script that has started this one does so
    LLMASR_RUN=$$.$(date +%s%N)
    setsid utils/end_with_parent.sh $$ "$LLMASR_RUN" </dev/null >/dev/null 2>&1 &  # no signal to our group reaches it
    export LLMASR_RUN
}

content() {  # INPUT [LINE]: its SHA-256, size, time of change and name; LINE, an earlier answer, saves reading it
    local file=$1 earlier=${2:-} stamp hash
    [ -e "$file" ] || file=$(compgen -G "$1" | LC_ALL=C sort | head -n 1)  # a pattern is its first file
    [ -e "$file" ] || return 1
    stamp="$(stat -L -c '%s %.9Y' "$file") $1"
    if [ "${earlier#* }" = "$stamp" ]; then hash=${earlier%% *}
    elif [ -d "$file" ]; then hash=$(cd "$file" && compgen -G '*' | LC_ALL=C sort | sha256sum)  # the names in it
    else hash=$(sha256sum <"$file"); fi
    echo "${hash%% *} $stamp"
}

is_done() {  # OUTPUT MARK COMMAND: OUTPUT is there, made by the same command from inputs of the same content
    local number line old new=("$3")
    [ -e "$1" ] && [ -e "$2" ] && mapfile -t old <"$2" && [ "${old[0]:-}" = "$3" ] || return 1
    [ ${#old[@]} = $((${#inputs[@]} + 1)) ] || return 1
    for number in "${!inputs[@]}"; do
        line=$(content "${inputs[number]}" "${old[number + 1]}") || return 1
        [ "${line%% *}" = "${old[number + 1]%% *}" ] || return 1
        new+=("$line")
    done
    [ "${new[*]}" = "${old[*]}" ] || write_lines "$2" "${new[@]}" || true  # copied or touched; perhaps nobody may write
}

write_mark() {  # MARK COMMAND
    local file lines=("$2")
    for file in "${inputs[@]}"; do lines+=("$(content "$file" || echo "missing $file")"); done
    write_lines "$1" "${lines[@]}"
}

write_lines() {  # FILE LINE...
    printf '%s\n' "${@:2}" >"$1.new" && mv "$1.new" "$1"
}

mark_of() {  # COMMAND...: itself without the numbers of processes, this machine's Python, and the folders' names
    local mark folder
    mark=$(printf '%q ' "$@")
    mark=${mark% --nj *}
    mark=${mark#"$(printf '%q ' "$python")"}
    [[ $mark != "-m torch.distributed.run "* ]] || mark="-m ${mark#* -m }"  # nor with the number of GPUs and nodes
    for folder in "${expdir:-}" "${base_exp:-}" "${dumpdir:-}"; do
        [ -z "$folder" ] || mark=${mark//"$(printf '%q/' "$folder")"/"<folder>/"}
    done
    echo "$mark"
}

hold() {  # FOLDER: until this script has ended, no other one works in it; one that was killed may take a moment to go
    local code=0 fd
    [ -z "${held[$1]:-}" ] || return 0
    held[$1]=yes
    mkdir -p "$1"
    [ ! -e "$1/lock" ] || flock -w 5 -E 75 "$1/lock" true || code=$?  # that of a training, wherever it runs
    [ "$code" != 75 ] || in_use "$1" "$1/lock"
    [ -z "$log_link" ] || return 0  # the script that has started this one holds the folder
    exec {fd}>>"$1/run.lock"
    flock -w 5 -E 75 "$fd" || code=$?  # another code: a file system without locks, of which the training warns
    [ "$code" != 75 ] || in_use "$1" "$1/run.lock"
    echo "process $$ on $HOSTNAME since $(date '+%Y-%m-%d %H:%M:%S')" >"$1/run.lock"
}

in_use() {  # FOLDER LOCK
    die "$1 is in use by $(<"$2"): wait for its end, or stop it and start again"
}

launch() {  # LAUNCHER OUTPUT LOG COMMAND...: runs a logged command and shows its progress, unless it has been done
    local launcher=$1 output=$2 log_file=$3 first_log=${3/JOB/1} mark
    shift 3
    mark=$(mark_of "$@")
    if is_done "$output" "$first_log.done" "$mark"; then
        log "$output is up to date (made by the same command from the same inputs)"
        return
    fi
    if [ -n "$log_link" ] && [[ $output == */pretrain/finished && -e $output ]]; then
        die "${output%/*} has ended, and the stages beside would take that for its end: run $job alone to go on with it"
    fi
    [[ $output != */finished && $output != */final ]] || hold "${output%/*}"
    rm -f "$first_log.done"
    [ -n "$log_link" ] || log "$output, log in $first_log"
    show "$launcher" "$log_file" "$@"
    write_mark "$first_log.done" "$mark"
}

show() {  # LAUNCHER LOG COMMAND...: runs a logged command and shows its progress
    local launcher log_file=$2 first_log=${2/JOB/1}
    read -ra launcher <<<"$1"
    shift 2
    mkdir -p "$(dirname "$log_file")"
    if [ -n "$log_link" ]; then
        ln -sfnr "$first_log" "$log_link"
        supervise "${launcher[@]}" "$log_file" "$@"
    else
        in_parallel --job "$job" "$first_log" "$(printf '%q ' "${launcher[@]}" "$log_file" "$@")"
    fi
}

in_parallel() {  # --job NAME LOG COMMAND...: runs the jobs side by side
    supervise "$python" -m espnet_llmasr.bin.run_parallel "${rendezvous[@]}" "$@"
}
