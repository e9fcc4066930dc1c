#!/usr/bin/env bash
# end_with_parent.sh PARENT RUN: waits until the process PARENT, which has started this script, has ended for whatever
# reason (a SIGKILL, too), then kills all processes that have LLMASR_RUN=RUN in their environment, as this script has not.
# It does what `espnet_llmasr.processes.end_with` does; a Python for each script would take half a second of a core.
exec {silence}<> <(:)  # nothing ever comes out of it: a pause that starts no process
pause() { read -rt 0.2 -u "$silence"; }

while read -ra words <"/proc/$$/stat" && [ "${words[3]}" = "$1" ]; do pause; done  # the fourth word: our parent
while found=$(grep -lsxzF -e "LLMASR_RUN=$2" /proc/[0-9]*/environ); [ -n "$found" ]; do
    for environ in $found; do kill -KILL "$(cut -d / -f 3 <<<"$environ")" 2>/dev/null; done
    pause
done
