#!/usr/bin/env bash
# end_with_parent.sh PARENT: waits until the process PARENT, which has started this script, has ended for whatever
# reason (a SIGKILL, too), then kills all processes with the same value of the environment variable LLMASR_RUN.
# The Python of `espnet_llmasr.processes.end_with`, which scripts would have to start for half a second each time.
set -u
mark=LLMASR_RUN=$LLMASR_RUN
export -n LLMASR_RUN  # grep shall not find itself
exec {silence}<> <(:)  # nothing ever comes out of it: a pause that starts no process
pause() { read -rt 0.2 -u "$silence"; }

while read -ra words <"/proc/$$/stat" && [ "${words[3]}" = "$1" ]; do pause; done  # its fourth word: our parent
while found=$(grep -lsxzF -e "$mark" /proc/[0-9]*/environ | cut -d / -f 3 | grep -vx $$); do
    # shellcheck disable=SC2086  # one id a line
    kill -KILL $found 2>/dev/null
    pause
done
