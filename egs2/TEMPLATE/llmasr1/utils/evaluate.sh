# shellcheck shell=bash
# Sourced by llmasr.sh: transcribes, scores, measures and packs (stages 9 to 15). The variables are those of llmasr.sh.

need_model() {  # what decoding needs, and its threads
    need_conf decode_conf
    [ "$guard" = off ] || need_file "$expdir/ctc_head/guard.json" "run stage 10 first, or give --guard off"
    case $inference_exp in
        align) need "$expdir/align/$inference_model" 7 ;;
        ia_sft) need "$expdir/ia_sft/$inference_model" 8 ;;
        joint_sft) need "$expdir/joint_sft/$inference_model" 9 ;;
        *) need_file "$expdir/$inference_exp/$inference_model" "--inference_exp names a folder in $expdir" ;;
    esac
    export OMP_NUM_THREADS=$((nthreads > inference_nj ? nthreads / inference_nj : 1))
}

decoder=''
decoding() {  # GUARD: sets `made_by` to the content of the model and of decode_conf, and the options of decoding
    local file hash inputs=() words=()
    words_of decode_args
    for file in "$expdir/$inference_exp/$inference_model" "$decode_conf"; do
        [[ $decoder == *" $file "* ]] && continue  # read once
        hash=$(content "$file") || hash=gone
        decoder+="${hash%% *} $file "
    done
    made_by="$decoder--guard $1 ${words[*]}"
    made_by=${made_by//"$expdir/"/}
}

is_by() {  # FILE GUARD: what lies beside FILE was decoded as now; the model may have been removed since
    local made_by old
    decoding "$2"
    old=$(<"$1")
    [ "$old" = "$made_by" ] || [ "gone ${old#* }" = "$made_by" ]
}

transcribe() {  # DATA_DIR DIR [--guard MODE]: text, score and the guard's tables, in DIR
    local table made_by dir=$2 shards=$2/$inference_nj.shards
    words_of decode_args
    also "$1/utt2lang"
    launch "$inference_cmd JOB=1:$inference_nj" "$shards" "$dir/log/decode.JOB.log" \
        "$python" -m espnet_llmasr.bin.llm_asr_inference --config "$decode_conf" --data_dir "$1" \
        --llm_asr_train_config "$expdir/$inference_exp/config.yaml" \
        --llm_asr_model_file "$expdir/$inference_exp/$inference_model" --output_dir "$shards" \
        --shard "JOB/$inference_nj" --device "$device" --guard "$guard" "${verifier[@]}" "${words[@]}" "${@:3}"
    write_lines "$dir/made_by" unfinished
    for table in text score confidence flagged words.jsonl gaps redecoded.jsonl; do
        if compgen -G "$shards/$table*" >/dev/null; then
            LC_ALL=C sort "$shards/$table"* >"$dir/$table.new"
            if cmp -s "$dir/$table.new" "$dir/$table"; then  # an old one stays: what hangs on it is up to date
                rm "$dir/$table.new"
            else
                mv "$dir/$table.new" "$dir/$table"
            fi
        else
            rm -f "$dir/$table"
        fi
    done
    decoding "${4:-$guard}"
    write_lines "$dir/made_by" "$made_by"
}

once() {  # FILE COMMAND...: waits while another strategy, at the same time, makes the FILE that both share
    mkdir -p "$(dirname "$1")"
    {
        supervise flock 9 || true  # a file system without locks: both make it
        "${@:2}"
    } 9>"$1.lock"
}

transcribe_phones() {  # DATA_DIR DIR: the labels that the pretrained encoder finds, in DIR
    local inputs=("$base_exp/pretrain/latest.pth" "$1/wav.scp")  # and not the strategy's own model
    once "$2/phones" launch "$inference_cmd" "$2/phones" "$2/phones.log" \
        "$python" -m espnet_llmasr.bin.phoneme_ctc_inference --ctc_train_config "$base_exp/pretrain/config.yaml" \
        --ctc_model_file "$base_exp/pretrain/latest.pth" --data_dir "$1" --output_dir "$2" --device "$device"
}

need_transcripts() {  # [MODE]...: of all test sets, from stage 11, with this guard or in one of the modes
    local set mode
    for set in "${tests[@]}"; do
        need "$decode_dir/$set/text" 11
        [ -e "$decode_dir/$set/made_by" ] || continue  # of an older version
        for mode in "$guard" "$@"; do ! is_by "$decode_dir/$set/made_by" "$mode" || continue 2; done
        die "$decode_dir/$set is not by this $inference_exp/$inference_model with these --decode_conf, --decode_args" \
            "and --guard: give those of stage 11, or run it again"
    done
}

publish() {  # FUNCTION PAGE COPY GUARD: writes the page that a function prints, what it is of, and a copy elsewhere
    local made_by
    "$1" >"$2.new"
    rm -f "$2.made_by"
    mv "$2.new" "$2"
    decoding "$4"
    write_lines "$2.made_by" "$made_by"
    cp "$2" "$3.$$" && mv "$3.$$" "$3"
}

score() {  # --hyp_dir DIR [OPTION]... [SET]...
    "$python" -m espnet_llmasr.bin.score --ref_dir "$dumpdir" "$@" >/dev/null
}

score_all() {  # the tables of stage 12: transcripts, labels, encoder updates, the paper's benchmarks
    score --hyp_dir "$decode_dir" "${tests[@]}"
    if [ "$pretrains" = true ]; then score --hyp_dir "$phone_dir" --unit phone "${tests[@]}"; fi
    if [ -d "$expdir/ia_sft" ]; then
        "$python" -m espnet_llmasr.bin.swap_table --encoder_dir "$encoder_dir" --ia_sft_dir "$expdir/ia_sft" \
            --out "$decode_dir/swaps.md" >/dev/null
    fi
    if [ -n "$benchmark_conf" ]; then
        need_conf benchmark_conf
        words_of benchmark_args
        "$python" -m espnet_llmasr.bin.benchmark --config "$benchmark_conf" --ref_dir "$dumpdir" \
            --hyp_dir "$decode_dir" "${words[@]}" >/dev/null
    fi
}

results_page() {  # all tables of stage 12 in Markdown
    local made_by
    made_by=$(sed -E "s#'([-A-Za-z0-9_./:=,]+)'#\1#g" <<<"${0##*/} ${given[*]@Q}")
    printf '# Results\n\nMade by\n\n    ./%s\n' "$made_by"
    printf '\n## Transcripts of %s\n\n' "$inference_exp/$inference_model"
    cat "$decode_dir/scores.md"
    if [ "$pretrains" = true ]; then
        printf '\n## Labels (%s) of the pretrained encoder\n\n' "$unit"
        cat "$phone_dir/phone_scores.md"
    fi
    if [ -d "$expdir/ia_sft" ]; then
        printf '\n## Encoder updates\n\n'
        cat "$decode_dir/swaps.md"
    fi
    if [ -n "$benchmark_conf" ]; then
        echo
        cat "$decode_dir/benchmark.md"
    fi
}

without_controls() {  # control characters, also those of two bytes, as ?: a terminal would obey them
    LC_ALL=C sed $'s/[\x01-\x08\x0b-\x1f\x7f]/?/g; s/\xc2[\x80-\x9f]/?/g'
}

show_example() {  # SET: the first utterance as it is and as it was transcribed
    local id reference hypothesis
    read -r id reference <"$dumpdir/$1/text"
    hypothesis=$(awk -v id="$id" '$1 == id { sub(/^[^ ]+ ?/, ""); print }' "$decode_dir/$1/text")
    printf '\nExample %s\n  reference:  %s\n  hypothesis: %s\n' "$id" "$reference" "$hypothesis" | without_controls
}

transcribe_nonspeech() {  # clips without speech, decoded with every mode of the guard, and their table
    local mode suite=$dumpdir/nonspeech
    need "$dumpdir/$train_set/wav.scp" 2
    launch "$train_cmd" "$suite/wav.scp" "$dumpdir/log/nonspeech.log" \
        "$python" -m espnet_llmasr.bin.make_nonspeech --out "$suite" --wav_scp "$dumpdir/$train_set/wav.scp" \
        --clips "$nonspeech_clips" --fs "$fs"
    inputs=("$suite/wav.scp")
    need "$expdir/ctc_head/guard.json" 10
    need_model
    for mode in off flag redecode; do
        transcribe "$suite" "$robust_dir/$mode/nonspeech" --guard "$mode"
        score --hyp_dir "$robust_dir/$mode" --routes none nonspeech
    done
    "$python" -m espnet_llmasr.bin.nonspeech_table --data_dir "$suite" --hyp_dir "$robust_dir/off/nonspeech" \
        --guard_dir "$robust_dir/flag/nonspeech" --redecode_dir "$robust_dir/redecode/nonspeech" \
        --out "$robust_dir/nonspeech.md" >/dev/null
}

robustness_page() {  # the tables of stage 13 in Markdown
    "$python" -m espnet_llmasr.bin.compare --ref_dir "$dumpdir" --hyp_dir "$robust_dir/redecode" \
        --other_hyp_dir "$decode_dir" "${tests[@]}" >"$robust_dir/redecode.md"
    printf '# Robustness of %s\n' "$inference_exp/$inference_model"
    if [ "$nonspeech_clips" -gt 0 ]; then
        printf '\n## Clips without speech\n\n'
        cat "$robust_dir/nonspeech.md"
    fi
    printf '\n## The guard on replaced audio\n\n'
    cat "$robust_dir/replaced.md"
    printf '\n## Doubtful transcripts decoded again\n\n'
    cat "$robust_dir/redecode.md"
}

replaced_and_redecoded() {  # transcripts that are another utterance's, and the doubtful ones decoded again
    local set
    launch "$inference_cmd" "$robust_dir/replaced.md" "$robust_dir/replaced.log" \
        "$python" -m espnet_llmasr.bin.measure_guard "${verifier[@]}" --ref_dir "$dumpdir" --hyp_dir "$decode_dir" \
        --out "$robust_dir/replaced" --device "$device" "${tests[@]}"
    for set in "${tests[@]}"; do
        need "$dumpdir/$set/wav.scp" 2
        transcribe "$dumpdir/$set" "$robust_dir/redecode/$set" --guard redecode
    done
}

make_targets() {  # SET: sets `targets` to the phones and sentence embeddings that encoders are compared with
    local others=("${inputs[@]}")  # inputs of the command that reads the targets
    targets=$base_exp/targets/$1.npz inputs=()
    need "$base_exp/llm/llm.pth" 4
    need "$dumpdir/$1/text" 2
    also "$dumpdir/$1/utt2lang" "$inventory"
    once "$targets" launch "$one_gpu_cmd" "$targets" "${targets%.npz}.log" \
        "$python" -m espnet_llmasr.bin.make_targets --data_dir "$dumpdir/$1" --out "$targets" \
        --embedder "${embedder:-$base_exp/llm}" --text_embeddings "$base_exp/llm" --inventory "$inventory" \
        --device "$one_device"
    inputs=("${others[@]}" "$targets")
}

pack_model() {  # the model of need_model, its CTC head if the guard has one, its tables and the card, in pack_dir
    local page=$robust_dir/ROBUSTNESS.md options=(--data "$dumpdir/$train_set" --scores "$decode_dir/scores.json")
    options+=("--decoding=--config $decode_conf --guard $guard${decode_args:+ $decode_args}")
    is_by "$decode_dir/RESULTS.md.made_by" "$guard" ||
        die "$decode_dir/RESULTS.md is of another model or other options of decoding: run stage 12 again"
    options+=(--pages "$decode_dir/RESULTS.md")
    words_of pack_args
    if [ -e "$page" ] && [ -e "$page.made_by" ] && is_by "$page.made_by" off; then
        inputs+=("$page")
        options+=("$page")
        ! grep -q '^## Clips without speech' "$page" || options+=(--robustness "$robust_dir")
    elif [ -e "$robust_dir/replaced.md" ]; then
        log "$robust_dir is of another model or other options: it is left out; for its figures run stage 13 before"
    fi
    if [ -e "$expdir/ctc_head/guard.json" ]; then
        inputs+=("$expdir/ctc_head/guard.json")
        options+=("${verifier[@]}")
    fi
    launch "$train_cmd" "$pack_dir/meta.yaml" "$expdir/pack.log" \
        "$python" -m espnet_llmasr.bin.pack --llm_asr_train_config "$expdir/$inference_exp/config.yaml" \
        --llm_asr_model_file "$expdir/$inference_exp/$inference_model" --out "$pack_dir" \
        ${hub_repo:+--name "$hub_repo"} "${options[@]}" "${words[@]}"
}
