#!/usr/bin/env bash
# Stands in for Python: notes its arguments in $RECORD and makes the files that the real command would make.
# $FAIL names a command that fails, $HANG one that never ends; $REAL_PYTHON runs run_parallel for real.
set -e
[[ "$*" != "-m espnet_llmasr.bin.strategy "* ]] || exec "$TEST_PYTHON" "$@"  # the real one; not noted
echo "$OMP_NUM_THREADS $*" >>"$RECORD"
echo "${CUDA_VISIBLE_DEVICES:-all} $*" >>"$RECORD.gpus"
option() {  # NAME ARGUMENTS...: the value of an option
    local name=$1
    while shift; [ $# -gt 0 ]; do [ "$1" != "$name" ] || { echo "$2"; return; }; done
}
make() { mkdir -p "$(dirname "$1")"; for file in "$@"; do echo "u1 x$(new "$file")" >"$file"; done; }
new() { [[ $1 == *.md || $1 == *text* ]] || echo "$RANDOM$RANDOM"; }  # other content than in an earlier call
[[ $1 != -m || $2 == espnet_llmasr.* ]] || while [[ $1 != espnet_llmasr.* ]]; do shift; done
[[ $1 != -m ]] || shift
dir=$(option --output_dir "$@")
[[ -z ${FAIL:-} || "$1 $dir" != *"$FAIL" ]] || { sleep "${FAIL_AFTER:-0}"; echo "no luck today"; exit 3; }
[[ -z ${HANG:-} || "$1 $dir" != *"$HANG" ]] || sleep 600
case $1 in
    *.run_parallel)
        [ -z "${REAL_PYTHON:-}" ] || exec "$REAL_PYTHON" -m "$@"
        [ "$2" != --rendezvous_port ] || shift 2
        while shift; [ $# -gt 0 ]; do bash -c "$4" || exit 1; shift 3; done ;;
    *.py) [ ! -e data ] || exit 0
        for set in train valid cka test test_zh test_en test_cs; do make "data/$set/wav.scp"; make "data/$set/text"; done ;;
    *.format_data) dir=$(option --out "$@"); make "$dir/wav.scp"; make "$dir"/{text,phones,utt2num_frames}
        make "$(option --tokens "$@")"
        printf '2026-01-01 00:00:00,000 %s\n' "INFO: 9 of 9 utterances checked" "WARNING: $dir: 2 were resampled" \
            "INFO: $dir: kept 7 of 9 utterances; dropped 2: no_text 2 (a, b)" ;;
    *.split_data) make "$(option --data_dir "$@")/splits$(option --num_splits "$@")/stats.json" ;;
    *.compute_stats) make "$(option --output "$@")" ;;
    *.import_firered) make "$3/encoder.pth" "$3/feats_stats.npz"; echo "taken: encoder" ;;
    *.prepare_llm) make "$dir/llm.pth"; make "$dir"/{config,tokenizer,prompt}.json ;;
    *_train) make "$dir/latest.pth"; make "$dir"/{config.yaml,finished} ;;
    *.doctor) ;;
    *.flops) echo "--max_epoch 7 --scheduler_conf total_steps=700" ;;
    *.plan_training) echo "a plan" ;;
    *.make_swap_schedule) make "$(option --schedule "$@")" ;;
    *.watch) dir=$(option --encoder_dir "$@"); make "$dir/encoder.1.pth"; make "$dir"/{final,cka.jsonl} ;;
    *.llm_asr_inference) shard=$(option --shard "$@"); make "$dir/text.${shard%/*}" ;;
    *.calibrate_guard) make "$(dirname "$(option --ctc_model_file "$@")")/guard.json" ;;
    *.make_nonspeech) make "$(option --out "$@")/wav.scp" ;;
    *.measure_guard) make "$(option --out "$@").md" ;;
    *.phoneme_ctc_inference) make "$dir/phones" ;;
    *.score) unit=$(option --unit "$@"); dir=$(option --hyp_dir "$@")/${unit:+${unit}_}scores
        make "$dir.md"; echo '{}' >"$dir.json" ;;
    *.benchmark) make "$(option --hyp_dir "$@")/benchmark.md" ;;
    *.compare) echo u1 x ;;
    *.pack) make "$(option --out "$@")/meta.yaml"; echo "# $(option --name "$@")" >"$(option --out "$@")/README.md" ;;
    *.upload) echo "sent $2 to $3" ;;
    *.measure_encoders | *.check_swaps) ;;
    *.swap_table | *.nonspeech_table | *.make_targets | *.report) make "$(option --out "$@")" ;;
    *) echo "stand_in.sh: what is $*?" >&2; exit 1 ;;
esac
