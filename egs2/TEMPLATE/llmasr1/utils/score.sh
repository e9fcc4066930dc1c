# shellcheck shell=bash disable=SC2086,SC2154  # the variables are those of the script that sources this
# Sourced in stage 12 of llmasr.sh: scores transcripts and labels, and puts all tables into RESULTS.md.

for set in $test_sets; do
    need "$decode_dir/$set/text" 11
    [ "$strategy" = joint_only ] || need "$phone_dir/$set/phones" 11
done
score="$python -m espnet_llmasr.bin.score --ref_dir $dumpdir"
$score --hyp_dir "$decode_dir" $test_sets >/dev/null
if [ "$strategy" != joint_only ]; then $score --hyp_dir "$phone_dir" --unit phone $test_sets >/dev/null; fi
if [ -d "$expdir/ia_sft" ]; then
    $python -m espnet_llmasr.bin.swap_table --encoder_dir "$encoder_dir" --ia_sft_dir "$expdir/ia_sft" \
        --out "$decode_dir/swaps.md" >/dev/null
fi
if [ -n "$benchmark_conf" ]; then
    need_conf benchmark_conf
    $python -m espnet_llmasr.bin.benchmark --config "$benchmark_conf" --ref_dir "$dumpdir" --hyp_dir "$decode_dir" \
        $benchmark_args >/dev/null
fi
made_by=$(sed -E "s/'([-A-Za-z0-9_.\/:=,]+)'/\1/g" <<<"${0##*/} ${given[*]@Q}")
{
    printf '# Results\n\nMade by\n\n    ./%s\n' "$made_by"
    printf '\n## Transcripts of %s\n\n' "$inference_exp/$inference_model" && cat "$decode_dir/scores.md"
    if [ "$strategy" != joint_only ]; then
        printf '\n## Labels (%s) of the pretrained encoder\n\n' "$unit" && cat "$phone_dir/phone_scores.md"
    fi
    if [ -d "$expdir/ia_sft" ]; then printf '\n## Encoder updates\n\n' && cat "$decode_dir/swaps.md"; fi
    [ -z "$benchmark_conf" ] || { echo && cat "$decode_dir/benchmark.md"; }
} >"$results"
cat "$results"
read -r id reference <"$dumpdir/$set/text"
hypothesis=$(awk -v id="$id" '$1 == id { sub(/^[^ ]+ ?/, ""); print }' "$decode_dir/$set/text")
printf '\nExample %s\n  reference:  %s\n  hypothesis: %s\n' "$id" "$reference" "$hypothesis"
printf '\nWorst utterances: %s\nResults: %s\n' "$decode_dir/worst.html" "$(realpath "$results")"
