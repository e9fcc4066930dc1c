#!/usr/bin/env bash
# Connected real digits in ESPnet's asr.sh with our frontend, encoder and CR-CTC model, on the CPU.
# FSDD=<dir> names a copy of the corpus. More options are those of asr.sh: ./run.sh --help
set -euo pipefail
cd "$(dirname "$0")"
exec ./asr.sh \
    --python "python3 -m espnet_llmasr" \
    --ngpu 0 --nj 2 --inference_nj 2 \
    --fs 8k --feats_type raw --audio_format flac \
    --speed_perturb_factors "0.9 1.0 1.1" \
    --local_data_opts "--num_train 1500 --nj 2" \
    --train_set train_all --valid_set valid --test_sets test --lm_train_text data/train_all/text \
    --token_type char --lang en \
    --use_lm false \
    --asr_config conf/train_asr_cr_ctc.yaml \
    --inference_config conf/decode_asr_ctc.yaml \
    --inference_asr_model valid.cer_ctc.ave.pth \
    --skip_packing false \
    "$@"
