#!/usr/bin/env bash
# The commands of a stock ESPnet ASR recipe from tokens to the packed model, run through our wrapper, on the CPU.
# stock_recipe.sh DATA CONFIG EXP: DATA has {train,valid,test}/{wav.scp,text}, EXP gets everything that is made.
set -euo pipefail
data=$1 config=$2 exp=$3
run="${python:-python3} -m espnet_llmasr"
stats=${exp}/stats
mkdir -p "${exp}/decode" "${stats}/logdir"

# tokens (stage 5)
${run} -m espnet2.bin.tokenize_text --token_type char --input "${data}/train/text" --output "${exp}/tokens.txt" \
    --field 2- --write_vocabulary true --add_symbol "<blank>:0" --add_symbol "<unk>:1" --add_symbol "<sos/eos>:-1"

sets=()
for name in train valid; do
    sets+=(--"${name}_data_path_and_name_and_type" "${data}/${name}/wav.scp,speech,sound"
           --"${name}_data_path_and_name_and_type" "${data}/${name}/text,text,text")
done
task=(--config "${config}" --use_preprocessor true --token_type char --token_list "${exp}/tokens.txt" --ngpu 0)

# statistics (stage 10)
for name in train valid; do cut -d' ' -f1 "${data}/${name}/text" > "${stats}/logdir/${name}.1.scp"; done
${run} -m espnet2.bin.asr_train --collect_stats true "${task[@]}" "${sets[@]}" \
    --train_shape_file "${stats}/logdir/train.1.scp" --valid_shape_file "${stats}/logdir/valid.1.scp" \
    --output_dir "${stats}/logdir/stats.1"
${run} -m espnet2.bin.aggregate_stats_dirs --input_dir "${stats}/logdir/stats.1" --output_dir "${stats}"

# training (stage 11)
${run} -m espnet2.bin.asr_train "${task[@]}" "${sets[@]}" --resume true --output_dir "${exp}" \
    --normalize global_mvn --normalize_conf "stats_file=${stats}/train/feats_stats.npz" \
    --train_shape_file "${stats}/train/speech_shape" --valid_shape_file "${stats}/valid/speech_shape"

# decoding (stage 12)
${run} -m espnet2.bin.asr_inference --ngpu 0 --batch_size 1 --beam_size 2 --ctc_weight 1.0 \
    --data_path_and_name_and_type "${data}/test/wav.scp,speech,sound" --asr_train_config "${exp}/config.yaml" \
    --asr_model_file "${exp}/valid.cer_ctc.ave.pth" --output_dir "${exp}/decode"

# error rates (stage 13): the files that sclite reads
for pair in "ref ${data}/test/text" "hyp ${exp}/decode/1best_recog/text"; do
    read -r side text <<< "${pair}"
    paste <(${run} -m espnet2.bin.tokenize_text -f 2- --input "${text}" --output - --token_type word) \
        <(awk '{ print "(" $1 "-" $1 ")" }' "${text}") > "${exp}/${side}.trn"
done

# pack (stage 14)
${run} -m espnet2.bin.pack asr --asr_train_config "${exp}/config.yaml" --asr_model_file "${exp}/valid.cer_ctc.ave.pth" \
    --option "${stats}/train/feats_stats.npz" --outpath "${exp}/model.zip"
