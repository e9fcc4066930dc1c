# shellcheck shell=bash disable=SC2086,SC2154  # the variables are those of the script that sources this
# Sourced by llmasr.sh: transcribes data directories in stages 11 and 13.

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

transcribe() {  # DATA_DIR DIR [OPTION]...: text, and the guard's tables, in DIR
    local table dir=$2 shards=$2/$inference_nj.shards
    launch "$inference_cmd JOB=1:$inference_nj" "$shards" "$dir/log/decode.JOB.log" \
        $python -m espnet_llmasr.bin.llm_asr_inference --config "$decode_conf" --data_dir "$1" \
        --llm_asr_train_config "$expdir/$inference_exp/config.yaml" \
        --llm_asr_model_file "$expdir/$inference_exp/$inference_model" --output_dir "$shards" \
        --shard "JOB/$inference_nj" --device "$device" --guard "$guard" "${witness[@]}" $decode_args "${@:3}"
    for table in text confidence flagged redecoded.jsonl; do
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
}
