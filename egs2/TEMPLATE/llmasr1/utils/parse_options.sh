# shellcheck shell=bash
# Sourced after the option block of a script ("# Options" to "# End of options", one `name=default  # help` a line):
# sets these variables from "$@", as --name value; --some-name and --some_name are the same. --help prints the block.

option_block() { sed -n '/^# Options/,/^# End of options/p' "$0"; }
option_error() { echo "${0##*/}: $1 (see --help)" >&2; exit 1; }

while [ $# -gt 0 ]; do
    [ "$1" != --help ] || { option_block | sed -n '$d; s/^\([a-z][a-z_]*\)=/--\1 /; s/^# \{0,1\}//; p'; exit 0; }
    [[ $1 == --* ]] || option_error "unexpected argument '$1'"
    option_name=${1#--}
    option_name=${option_name//-/_}
    { [[ $option_name =~ ^[a-z_]+$ ]] && option_block | grep -q "^${option_name}="; } || option_error "unknown option '$1'"
    [ $# -gt 1 ] || option_error "option '$1' needs a value"
    printf -v "$option_name" '%s' "$2"
    shift 2
done
