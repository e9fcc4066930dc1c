# shellcheck shell=bash disable=SC2086,SC2154  # the variables are those of the script that sources this
# Sourced by llmasr.sh: what encoders are measured against in stage 9, and all that stage 14 measures and draws.

make_targets() {  # SET: what is said in it, as phones and as meaning
    local others=(${inputs[@]+"${inputs[@]}"})  # of what is made with the targets
    targets=$base_exp/targets/$1.npz inputs=()
    need "$base_exp/llm/llm.pth" 4
    need "$dumpdir/$1/text" 2
    launch "$cuda_cmd --gpu $((ngpu > 0))" "$targets" "${targets%.npz}.log" \
        $python -m espnet_llmasr.bin.make_targets --data_dir "$dumpdir/$1" --out "$targets" \
        --embedder "${embedder:-$base_exp/llm}" --text_embeddings "$base_exp/llm" --inventory "$inventory" \
        --device "$([ "$ngpu" = 0 ] && echo cpu || echo cuda)"
    inputs=(${others[@]+"${others[@]}"} "$targets")
}

observe() {  # NSE, PAI, CSAI and CKA of all stored encoders, the figures, one page of everything
    need "$expdir/$last/latest.pth" "$last_stage"
    make_targets "$valid_set"
    if [ "$base_exp" != "$expdir" ] && [ "$pretrains" = true ]; then
        ln -sfnr "$base_exp/pretrain" "$expdir/pretrain"  # its page shows the pretraining that it shares
    fi
    $python -m espnet_llmasr.bin.measure_encoders --exp "$expdir" --data_dir "$dumpdir/$valid_set" --targets "$targets" \
        --num_utterances 1000 --out "$expdir/observe" --label "$strategy"
    $python -m espnet_llmasr.bin.report --expdir "$expdir" --out "$expdir/report.html"
    printf '\nFigures: %s\nReport: %s\n' "$(realpath -m "$expdir/observe")" "$(realpath -m "$expdir/report.html")"
}
