# shellcheck shell=bash disable=SC2034,SC2086,SC2154  # the variables are those of the script that sources this
# Sourced in stage 13 of llmasr.sh: what the model writes where nothing is said, and what the guard finds.

suite=$dumpdir/nonspeech robust_dir=$expdir/$inference_exp/robustness
need "$expdir/ctc_head/guard.json" 10
for set in $test_sets; do  # asked for below, too; named here, before hours of decoding
    need "$decode_dir/$set/text" 11
done
inputs=()
mkdir -p "$robust_dir"
printf '# Robustness of %s\n' "$inference_exp/$inference_model" >"$robust_dir/page.md"

if [ "$nonspeech_clips" -gt 0 ]; then
    need "$dumpdir/$train_set/wav.scp" 2
    launch "$train_cmd" "$suite/wav.scp" "$dumpdir/log/nonspeech.log" \
        $python -m espnet_llmasr.bin.make_nonspeech --out "$suite" --wav_scp "$dumpdir/$train_set/wav.scp" \
        --clips "$nonspeech_clips" --fs "$fs"
    inputs=("$suite/wav.scp")
fi

need "$expdir/ctc_head/guard.json" 10
need_model
if [ "$nonspeech_clips" -gt 0 ]; then
    for mode in off flag redecode; do
        transcribe "$suite" "$robust_dir/$mode/nonspeech" --guard "$mode"
        $python -m espnet_llmasr.bin.score --ref_dir "$dumpdir" --hyp_dir "$robust_dir/$mode" --routes none \
            nonspeech >/dev/null
    done
    $python -m espnet_llmasr.bin.nonspeech_table --data_dir "$suite" --hyp_dir "$robust_dir/off/nonspeech" \
        --guard_dir "$robust_dir/flag/nonspeech" --redecode_dir "$robust_dir/redecode/nonspeech" \
        --out "$robust_dir/nonspeech.md" >/dev/null
    { printf '\n## Clips without speech\n\n' && cat "$robust_dir/nonspeech.md"; } >>"$robust_dir/page.md"
fi

for set in $test_sets; do
    need "$decode_dir/$set/text" 11
done
launch "$inference_cmd" "$robust_dir/replaced.md" "$robust_dir/replaced.log" \
    $python -m espnet_llmasr.bin.measure_guard "${witness[@]}" --ref_dir "$dumpdir" --hyp_dir "$decode_dir" \
    --out "$robust_dir/replaced" --device "$device" $test_sets
{ printf '\n## The guard on replaced audio\n\n' && cat "$robust_dir/replaced.md"; } >>"$robust_dir/page.md"

for set in $test_sets; do
    need "$dumpdir/$set/wav.scp" 2
    transcribe "$dumpdir/$set" "$robust_dir/redecode/$set" --guard redecode
done
$python -m espnet_llmasr.bin.compare --ref_dir "$dumpdir" --hyp_dir "$robust_dir/redecode" \
    --other_hyp_dir "$decode_dir" $test_sets >"$robust_dir/redecode.md"
{ printf '\n## What is in doubt decoded again\n\n' && cat "$robust_dir/redecode.md"; } >>"$robust_dir/page.md"
page=$(dirname "$results")/ROBUSTNESS.md
mv "$robust_dir/page.md" "$page"
cat "$page"
printf '\nRobustness: %s\n' "$(realpath "$page")"
[ "$nonspeech_clips" = 0 ] || printf 'Transcripts of the clips: %s\n' "$robust_dir/off/worst.html"
