#!/usr/bin/env bash
# The matrix of docs/evidence.md, 69 runs and 3 of a change, at equal compute within each length, from the encoder of
# ./start.sh.
#   FSDD=<dir> nohup ./strategies.sh >strategies.log 2>&1 & echo $!     starts it, or goes on; prints its process
#   ./strategies.sh --status                             which runs are complete, which are left
#   kill <process>                                       stops it with all its trainings (kill -9 would not)
#   PARTS="strategies lengths" ./strategies.sh           some parts; pilot, *_again and *minilm are not of the matrix
# Options are those of run_strategies (--jobs 1); those after -- are added to those of run.sh. Results of a part:
# exp_<part>/runs.jsonl and strategies.md.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck disable=SC1091
. ./path.sh
# shellcheck disable=SC1091
. utils/matrix.sh
PARTS=${PARTS:-strategies lengths fast_encoder smollm2 one_swap}

part() {  # NAME "STRATEGY..." "SEED..." [OPTION of run.sh]...: the trainings of conf, all of them at LENGTH
    local name=$1 strategies seeds epoch
    read -ra strategies <<<"$2"
    read -ra seeds <<<"$3"
    shift 3
    epoch="--num_iters_per_epoch $(of 50)"
    matrix --fs 8000 --out "exp_$name" --strategies "${strategies[@]}" --seeds "${seeds[@]}" -- \
        --embedder minilm \
        --nthreads 1 \
        --inference_nj 1 \
        --flops_budget "$(of 1150)e10" \
        --ia_sft_epochs 10 \
        --pretrain_args "$epoch $(schedule 700) --model_conf cr_warmup_batches=$(of 230)" \
        --watch_args "--start_step $(of 200)" \
        --align_args "$epoch $(schedule 150)" \
        --ia_sft_args "$epoch $(schedule 500)" \
        --joint_sft_args "--num_iters_per_epoch $(of 25) $(schedule 250)" \
        "$@" || failed=1  # the other parts go on
}

schedule() {  # UPDATES: of a training at full length, a tenth of them warm-up
    echo "--scheduler_conf total_steps=$(of "$1") --scheduler_conf warmup_steps=$(of $(($1 / 10)))"
}

# NAME UPDATES BUDGET (in 1e10): SmolLM2 as in egs2/fsdd/llmasr1/run_smollm2.sh, with so many updates of IA-SFT; the LLM's
# rate and the adaptor's are 3e-4 in both SFT stages
real_llm() {
    local layer frozen=llm.model.embed_tokens factors="--lr_factor adaptor=15 --lr_factor llm=15"
    for layer in {0..29}; do frozen+=" llm.model.layers.$layer.mlp"; done
    part "$1" "ia_sft no_ia_sft" "1 2 3" \
        --llm smollm2 \
        --llm_args "--system '' --instruction 'Repeat: '" \
        --flops_budget "$(of "$3")e10" \
        --align_args "--max_epoch 2 --scheduler_conf max_lr=0.003 --scheduler_conf min_lr=0.0003 $(schedule 100)" \
        --ia_sft_args "--num_iters_per_epoch $(of $(($2 / 10))) $(schedule "$2") $factors --freeze_param encoder $frozen" \
        --joint_sft_args "$factors --freeze_param $frozen"
}

fast=(--joint_sft_args "--lr_factor encoder=25")
failed=0
for name in $PARTS; do
    case $name in
        pilot) part pilot "ia_sft no_ia_sft" 0 ;;
        strategies)
            part strategies "ia_sft no_swap no_ia_sft no_joint" "1 2 3 4 5 6 7 8"
            part strategies "char efin" "1 2 3 4 5"
            part strategies joint_only "1 2 3" ;;
        lengths)
            given=${LENGTH:-100}
            for LENGTH in 60 160; do part "$LENGTH" "efin joint_only" "1 2 3"; done
            LENGTH=$given ;;
        fast_encoder)  # 5e-4 in joint SFT
            part fast_encoder "ia_sft no_ia_sft" "1 2 3" "${fast[@]}" ;;
        smollm2) real_llm smollm2 200 4500 ;;  # and some 100 updates of joint SFT in ia_sft, after 100 of alignment
        one_swap) part one_swap ia_sft "1 2 3" --swap_schedule conf/one_swap/ia_sft/swaps.jsonl ;;  # to the last encoder
        fast_encoder_again)  # the second experiment
            part fast_encoder_again "ia_sft no_ia_sft" "4 5 6 7 8 9 10 11" "${fast[@]}" ;;
        smollm2_again) real_llm smollm2_again 400 7500 ;;
        minilm)  # the third experiment: runs of the first, CSAI by minilm
            part minilm "ia_sft no_ia_sft" "1 2 3 4 5 6 7 8"
            part minilm char "1 2 3 4 5" ;;
        fast_encoder_minilm)  # and those of the second, seeds 4 to 11
            part fast_encoder_minilm "ia_sft no_ia_sft" "4 5 6 7 8 9 10 11" "${fast[@]}" ;;
        *) die "PARTS has '$name', allowed are pilot, strategies, lengths, fast_encoder, smollm2, one_swap," \
            "fast_encoder_again, smollm2_again, minilm and fast_encoder_minilm" ;;
    esac
done
exit "$failed"
