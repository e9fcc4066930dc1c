#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR/..
# Stage 1 of a recipe whose corpora are named in local/corpora.yaml: lists the present and the missing ones, prepares
# every part in parallel jobs, keeps all test sets out of the training data, and makes data/{train,valid,cka} and a folder
# for each test set, named in data/test_sets. Finished parts are skipped.
set -euo pipefail

# Options (of local/data.sh; from run.sh give them as --local_data_opts "--nj 32")
#
mixture=local/corpora.yaml  # the corpora, see espnet_llmasr/data/mixture.py
nj=4                    # parallel jobs
text_style=plain        # plain: words as spoken, English in lower case; formatted: as written, where a corpus has that
fingerprints=all        # whose sound is compared with the test sets: all, text (where the words are alike), or none
exclude_text=false      # also leave out what only has the words of a test utterance
valid_utts=4000         # most utterances of data/valid
cka_utts=500            # most utterances of data/cka
# End of options

. utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ./db.sh
. utils/launch.sh
python=${python:-python3} log_link='' job='stage 1' parts=data/parts logs=data/log
end_together

names() {  # LIST: the prepared parts of a list
    awk -F '\t' -v list="$1" '$1 == list { print $2 }' data/jobs.tsv
}

dirs() { names "$1" | sed "s:^:$parts/:"; }

tables() {  # DIR...: all tables there, and their counts, become inputs
    local dir
    for dir in "$@"; do
        also "$dir"/{wav.scp,segments,text,text_pron,utt2spk,utt2lang,utt2dur,stats.json,dropped.txt}
    done
}

combine() {  # OUT [OPTION]... DIR...
    launch "$train_cmd" "$1/text" "$logs/$(tr / _ <<<"$1").log" "$python" -m espnet_llmasr.bin.combine_data "$@"
}

for option in nj valid_utts cka_utts; do
    [[ ${!option} =~ ^[1-9][0-9]{0,8}$ ]] || die "--$option is '${!option}', expected a whole number of at least 1"
done
[[ $text_style =~ ^(plain|formatted)$ ]] || die "--text_style is '$text_style', allowed are plain and formatted"
[[ $fingerprints =~ ^(all|text|none)$ ]] || die "--fingerprints is '$fingerprints', allowed are all, text and none"
[[ $exclude_text =~ ^(true|false)$ ]] || die "--exclude_text is '$exclude_text', allowed are true and false"

mkdir -p data
"$python" -m espnet_llmasr.bin.plan_corpora "$mixture" --jobs data/jobs.tsv

while IFS=$'\t' read -r _ name corpus part src options <&3; do
    inputs=()
    need_file "$src" "correct db.sh"
    read -ra words <<<"$options"
    launch "$train_cmd JOB=1:$nj" "$parts/.$name/$nj" "$logs/$name.JOB.log" \
        "$python" -m espnet_llmasr.bin.prepare_corpus "$corpus" "$src" "$part" "$parts/.$name/JOB" \
        --prefix "$corpus" --text_style "$text_style" --shard "JOB/$nj" "${words[@]}"
    inputs=()
    mapfile -t shards < <(seq -f "$parts/.$name/%.0f" "$nj")
    tables "${shards[@]}"
    combine "$parts/$name" "${shards[@]}"
done 3<data/jobs.tsv

mapfile -t train < <(dirs train)
mapfile -t valid < <(dirs valid)
mapfile -t tests < <(dirs test)
mapfile -t test_sets < <(names test)
held_out=("${train[@]}")  # validates where no development set is here
[ ${#valid[@]} = 0 ] || held_out=("${valid[@]}")
inputs=()
tables "${train[@]}" "${valid[@]}" "${tests[@]}"
strict=()
[ "$exclude_text" = false ] || strict=(--exclude_text)
launch "$train_cmd JOB=1:$nj" "data/overlap/$nj" "$logs/overlap.JOB.log" \
    "$python" -m espnet_llmasr.bin.check_overlap --train "${train[@]}" "${valid[@]}" --test "${tests[@]}" \
    --audio "$fingerprints" "${strict[@]}" --shard "JOB/$nj" --out data/overlap/JOB
mapfile -t shards < <(seq -f "data/overlap/%.0f/exclude.txt" "$nj")  # an earlier run may have had more
LC_ALL=C sort -u "${shards[@]}" >data/exclude.txt
log "$(wc -l <data/exclude.txt) utterances that are also in a test set are left out, see data/overlap/*/overlaps.tsv"

inputs=(data/exclude.txt)
tables "${train[@]}" "${valid[@]}"
combine data/valid --utts "$valid_utts" --exclude data/exclude.txt "${held_out[@]}"
cut -d ' ' -f 1 data/valid/text | LC_ALL=C sort -u - data/exclude.txt >data/not_to_train.txt
inputs+=(data/not_to_train.txt)
combine data/train --exclude data/not_to_train.txt "${train[@]}"
inputs=()
tables data/valid
combine data/cka --utts "$cka_utts" data/valid
for name in "${test_sets[@]}"; do
    inputs=()
    tables "$parts/$name"
    combine "data/$name" "$parts/$name"
done
for set in train valid cka "${test_sets[@]}"; do
    "$python" -m espnet_llmasr.bin.check_data "data/$set"
done
names test >data/test_sets.new
mv data/test_sets.new data/test_sets
