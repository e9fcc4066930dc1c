#!/usr/bin/env bash
# data/{train,valid,test} of ../llmasr1, strings of digits, and data/train_all: train and its recordings one by one.
# These have no silence around the word, so some have fewer encoder frames (25 Hz) than letters.
# FSDD=<dir> names a copy of free-spoken-digit-dataset; options are those of fsdd.py.
set -euo pipefail
export LC_ALL=C
python3 local/fsdd.py "$@"

single=data/train_single
mkdir -p "$single"
for wav in "${FSDD:-downloads/fsdd}"/recordings/*.wav; do
    IFS=_ read -r digit speaker index <<< "$(basename "$wav" .wav)"
    if [ "$index" -ge 7 ]; then # the others are test and valid
        echo "$speaker-single-$digit-$index $wav"
    fi
done | sort > "$single/wav.scp"
awk 'BEGIN { split("zero one two three four five six seven eight nine", words) }
     { split($1, key, "-"); print $1, words[key[3] + 1] }' "$single/wav.scp" > "$single/text"
awk '{ split($1, key, "-"); print $1, key[1] }' "$single/wav.scp" > "$single/utt2spk"
utils/utt2spk_to_spk2utt.pl "$single/utt2spk" > "$single/spk2utt"
utils/combine_data.sh data/train_all data/train "$single"
