# shellcheck shell=bash
# Sourced by strategies.sh of a recipe, after path.sh, with its "$@": what such scripts share. Sets
#   own      options of run_strategies, those before --
#   run      options of run.sh, those after --
#   LENGTH   from the environment: percent of all lengths and of the budget, 100 if it is not given
#   of N     prints N at this length; multiples of 20 divide without a rest
#   matrix [OPTION]... -- [OPTION]...      runs run_strategies; the user's options come after these, so that they count;
#            a signal to the script stops it with all its trainings

# shellcheck disable=SC1091
. utils/launch.sh
own=() run=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do own+=("$1") && shift; done
[ $# -eq 0 ] || shift
run=("$@")
[[ ${LENGTH:-100} =~ ^([2-9]|[1-9][0-9])[0-9]$ ]] ||
    die "LENGTH=$LENGTH, expected a whole number of percent from 20 to 999"
of() { echo $(($1 * ${LENGTH:-100} / 100)); }
matrix() {
    local ours=()
    while [ "$1" != -- ]; do ours+=("$1") && shift; done
    shift
    supervise "${python:-python3}" -m espnet_llmasr.bin.run_strategies --recipe . --jobs 2 "${ours[@]}" \
        ${own[@]+"${own[@]}"} -- "$@" ${run[@]+"${run[@]}"}
}
