# shellcheck shell=bash
# Sourced after the option block of a script ("# Options" to "# End of options", one `name=default  # help` a line):
# sets these variables from "$@", as --name value; --some-name and --some_name are the same. --help prints the block.
#   --x_args, --x_opts  given again: the new words are appended to those given before
#   --                  ends the options of the recipe (run.sh); the options of its user follow. A --x_conf of the user
#                       that names another file drops the recipe's --x_args: they were written for the recipe's file

option_block=$(sed -n '/^# Options/,/^# End of options/p' "$0")
is_option() { [[ $1 =~ ^[a-z_]+$ && $option_block == *$'\n'"$1="* ]]; }
option_error() { echo "${0##*/}: $1 (see --help)" >&2; exit 1; }

declare -A user_words=()  # what the user gives for each --x_args and --x_opts
declare -A user_file=()   # the user's --x_conf for each --x_args that loses the recipe's words
while [ $# -gt 0 ]; do
    [ "$1" != --help ] || { sed -n '$d; s/^\([a-z][a-z_]*\)=/--\1 /; s/^# \{0,1\}//; p' <<<"$option_block"; exit 0; }
    if [ "$1" = -- ]; then
        user_words=() user_file=()
        shift
        continue
    fi
    [[ $1 == --* ]] || option_error "unexpected argument '$1'"
    option_name=${1#--}
    option_name=${option_name//-/_}
    is_option "$option_name" || option_error "unknown option '$1'"
    [ $# -gt 1 ] || option_error "option '$1' needs a value"
    case $option_name in
        *_args | *_opts)
            user_words[$option_name]+="${user_words[$option_name]:+ }$2"
            printf -v "$option_name" '%s' "${!option_name}${!option_name:+ }$2" ;;
        *)
            if [[ $option_name == *_conf && $2 != "${!option_name}" ]]; then user_file[${option_name%_conf}_args]=$2; fi
            printf -v "$option_name" '%s' "$2" ;;
    esac
    shift 2
done
for option_name in "${!user_file[@]}"; do
    if is_option "$option_name"; then printf -v "$option_name" '%s' "${user_words[$option_name]:-}"; fi
done
