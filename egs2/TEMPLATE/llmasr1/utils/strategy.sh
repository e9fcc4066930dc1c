# shellcheck shell=bash
# Sourced by llmasr.sh: what the training strategies change, from conf/strategies.yaml; docs/strategies.md has a table.
# The variables are those of llmasr.sh.

[[ $ia_sft_epochs =~ ^([1-9][0-9]{0,8})?$ ]] || die "--ia_sft_epochs is '$ia_sft_epochs', expected at least 1"
[[ $flops_budget =~ ^([0-9]*\.?[0-9]+([eE]\+?[0-9]+)?)?$ ]] ||
    die "--flops_budget is '$flops_budget', expected a number such as 3e14"
[[ $seed =~ ^(0|[1-9][0-9]{0,8})?$ ]] || die "--seed is '$seed', expected a whole number, such as 1"

# What the strategy's entry in conf/strategies.yaml sets, besides unit, expdir, base_exp and dumpdir:
results=''         # page of stage 12
left_out=''        # stages that the strategy leaves out
pretrains=''       # true: the strategy has a pretraining
beside=''          # true: stages 5, 6 and 7-8 run side by side
watched=''         # epochs of the pretraining that stage 6 looks at: every, stored (after it) or last
last='' last_stage=''               # the model to decode, which gets what is left of --flops_budget
trained_before=''                   # the trainings before it
joint_from='' joint_stage=''        # where joint SFT starts, and the stage that makes it
assignments=$("$python" -m espnet_llmasr.bin.strategy "$strategy" --strategies conf/strategies.yaml --unit "$unit" \
    --expdir "$expdir" --base_exp "$base_exp" --dumpdir "$dumpdir" \
    --ia_sft_epochs "$ia_sft_epochs" --flops_budget "$flops_budget") || exit 1
eval "$assignments"
skip_stages+=${left_out:+ $left_out}
inference_exp=${inference_exp:-$last}

dir_of() {  # NAME: the folder of a stage; what strategies have in common may be another experiment's
    case $1 in
        stats | llm | pretrain) echo "$base_exp/$1" ;;
        *) echo "$expdir/$1" ;;
    esac
}

length_of() {  # NAME: the options that set the number of epochs of ia_sft or joint_sft; none: as configured
    local name length='' spent=() conf=$1_conf args=$1_args
    if [ -n "$flops_budget" ] && [ "$1" = "$last" ]; then
        for name in $trained_before; do spent+=("$(dir_of "$name")"); done
        length=$("$python" -m espnet_llmasr.bin.flops --plan "$training_conf" "$encoder_conf" "${!conf}" \
            "--options=${!args}" --shell \
            --data_dir "$dumpdir/$train_set" --llm_dir "$base_exp/llm" --fs "$fs" --budget "$flops_budget" \
            --num_ranks "$num_ranks" ${spent:+--spent "${spent[@]}"} |
            tail -n 1) || return 1  # imports of ESPnet print, too; `set -e` does not reach into $(length_of ...)
    elif [ "$1" = ia_sft ] && [ -n "$ia_sft_epochs" ]; then
        length="--max_epoch $ia_sft_epochs"
    fi
    [ "$1" != ia_sft ] || [ -z "$length" ] || length+=" --final_epochs none --pace none"
    echo "$length"
}

plan_ia_sft() {  # LENGTH: without the pretraining beside, the epochs of the swaps follow from the number of epochs
    [ "$watched" = stored ] && [ -z "$swap_schedule" ] && [[ "$1" =~ --max_epoch\ ([0-9]+) ]] || return 0
    swap_schedule=$expdir/ia_sft_swaps.jsonl
    "$python" -m espnet_llmasr.bin.make_swap_schedule --encoder_dir "$encoder_dir" --epochs "${BASH_REMATCH[1]}" \
        --schedule "$swap_schedule" --ia_sft_dir "$expdir/ia_sft"
}
