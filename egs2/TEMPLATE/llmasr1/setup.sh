#!/usr/bin/env bash
# Makes the folder of a new recipe: egs2/TEMPLATE/llmasr1/setup.sh egs2/<corpus>/llmasr1
# It may lie in this repository or in an ESPnet checkout. All files are linked.
set -euo pipefail
if [ $# != 1 ] || [[ $1 == -* ]]; then
    echo "setup.sh: expected one folder, for example egs2/my_corpus/llmasr1" >&2
    exit 1
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/local"
for name in llmasr.sh cmd.sh path.sh db.sh utils; do
    ln -sfnr "$here/$name" "$1/$name"
done
[ -e "$1/conf" ] || ln -sfnr "$here/../../../conf" "$1/conf"
echo "Now write $1/run.sh (options of llmasr.sh) and $1/local/data.sh, which makes data/<set>/{wav.scp,text,utt2spk}."
