#!/usr/bin/env bash
# SHA-256 of the weights of stages 5, 7, 8 and 9 of a short fsdd run. Equal lines before and after a change show that
# the change left the training arithmetic alone. Two epochs each; three of pretraining, so that IA-SFT makes a swap.
#   FSDD=<dir> benchmarks/same_weights.sh [REPOSITORY]      some 3 minutes on two cores; default: this repository
#
# It runs a copy of the tracked files in a temporary folder. The stages run one after the other, alignment and IA-SFT
# take their encoders from the recorded schedule below, so no swap depends on the machine's speed.
set -euo pipefail
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" ls-files -z | tar -C "$root" --null -T - -cf - | tar -C "$copy" -xf -
[ ! -e "$root/.venv" ] || ln -s "$(realpath "$root/.venv")" "$copy/.venv"
export PYTHONPATH=$copy FSDD
cd "$copy/egs2/fsdd/llmasr1"
epochs="--max_epoch 2 --num_iters_per_epoch 20 --valid_max_frames 4000"
# The options below are appended to those of run.sh, so these schedules replace the ones there.
pretrain="$epochs --max_epoch 3 --keep_nbest_models 3"
pretrain+=" --scheduler_conf total_steps=4000 --model_conf cr_warmup_batches=1300"
joint_sft="$epochs --scheduler_conf total_steps=2000"
sed 's/^num_updates:.*/num_updates: 20/' conf/llm.yaml >"$copy/llm.yaml"
mkdir -p "$copy"/schedule/{align,ia_sft}
echo '{"epoch": 1, "encoder_step": 40, "previous_step": 0, "final": false}' >"$copy/schedule/align/swaps.jsonl"
echo '{"epoch": 2, "encoder_step": 60, "previous_step": 40, "final": true}' >"$copy/schedule/ia_sft/swaps.jsonl"
./run.sh --stage 1 --stop_stage 9 --llm_conf "$copy/llm.yaml" --ia_sft_epochs 2 --nthreads 1 \
    --swap_schedule "$copy/schedule/ia_sft/swaps.jsonl" \
    --local_data_opts "--nj 2 --num_train 300 --num_valid 40 --num_cka 40 --num_test 20" \
    --pretrain_args "$pretrain" --watch_args "--start_step 20 --threshold 1.0" \
    --align_args "$epochs" --ia_sft_args "$epochs" --joint_sft_args "$joint_sft" >"$copy/run.log" 2>&1 ||
    { tail -n 30 "$copy/run.log" "$copy"/egs2/fsdd/llmasr1/exp/*/train.log >&2; exit 1; }
grep -h encoder_step exp/{align,ia_sft}/swaps.jsonl >&2
sha256sum exp/{pretrain,align,ia_sft,joint_sft}/latest.pth
