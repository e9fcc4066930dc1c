# shellcheck shell=bash
# Sourced by llmasr.sh: what the training strategies change. README, Strategies, has them in a table.
# The variables are those of llmasr.sh.

[[ $ia_sft_epochs =~ ^([1-9][0-9]*)?$ ]] || die "--ia_sft_epochs is '$ia_sft_epochs', expected at least 1"
[[ $flops_budget =~ ^([0-9]*\.?[0-9]+([eE]\+?[0-9]+)?)?$ ]] ||
    die "--flops_budget is '$flops_budget', expected a number such as 3e14"
[[ $seed =~ ^[0-9]*$ ]] || die "--seed is '$seed', expected a whole number"

beside=false    # stages 5, 6 and 7-8 run side by side; otherwise one after the other
last=joint_sft  # the last training: the model to decode, and the one to which --flops_budget gives its epochs
left_out=       # stages without a part in the strategy
case $strategy in
    ia_sft) [ -n "$ia_sft_epochs" ] || beside=true ;;
    char) unit=char; [ -n "$ia_sft_epochs" ] || beside=true ;;
    no_swap) ;;
    no_ia_sft) left_out=" 8" ;;
    no_joint) last=ia_sft left_out=" 9"; [ -n "$ia_sft_epochs$flops_budget" ] || beside=true ;;
    efin) last=ia_sft left_out=" 9" ;;
    joint_only) left_out=" 5 6 7 8" ;;
    *) die "--strategy is '$strategy', allowed are ia_sft, no_swap, no_ia_sft, no_joint, char, joint_only and efin" ;;
esac
skip_stages+=$left_out
replay=''      # the watcher's option where it comes after the pretraining, and swaps are wanted
if [[ $strategy =~ ^(ia_sft|char|no_joint)$ ]] && [ "$beside" = false ]; then replay="--replay true"; fi
case $strategy in
    ia_sft) ;;
    char) expdir=${expdir:-exp_char} base_exp=${base_exp:-$expdir} dumpdir=${dumpdir:-dump_char} ;;
    *) expdir=${expdir:-exp_$strategy} base_exp=${base_exp:-exp} ;;
esac
expdir=${expdir:-exp} dumpdir=${dumpdir:-dump}
base_exp=${base_exp:-$expdir}
inference_exp=${inference_exp:-$last}
results=RESULTS.md  # of stage 12
[ "$strategy" = ia_sft ] || results=$expdir/RESULTS.md
case $strategy in
    no_ia_sft) trained_before="pretrain align" joint_from=$expdir/align/latest.pth joint_stage=7 ;;
    joint_only) trained_before='' joint_from=$base_exp/llm/llm.pth::llm joint_stage=4 ;;
    *) trained_before="pretrain align ia_sft" joint_from=$expdir/ia_sft/latest.pth joint_stage=8 ;;
esac
last_stage=9
[ "$last" = joint_sft ] || last_stage=8 trained_before="pretrain align"

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
            --num_ranks "$((ngpu > 1 ? ngpu : 1))" ${spent:+--spent "${spent[@]}"} |
            tail -n 1) || return 1  # imports of ESPnet print, too; `set -e` does not reach into $(length_of ...)
    elif [ "$1" = ia_sft ] && [ -n "$ia_sft_epochs" ]; then
        length="--max_epoch $ia_sft_epochs"
    fi
    [ "$1" != ia_sft ] || [ -z "$length" ] || length+=" --final_epochs none"
    echo "$length"
}

plan_ia_sft() {  # LENGTH: without the pretraining beside, the epochs of the swaps follow from the number of epochs
    [ -n "$replay" ] && [ -z "$swap_schedule" ] && [[ "$1" =~ --max_epoch\ ([0-9]+) ]] || return 0
    swap_schedule=$expdir/ia_sft_swaps.jsonl
    "$python" -m espnet_llmasr.bin.make_swap_schedule --encoder_dir "$encoder_dir" --epochs "${BASH_REMATCH[1]}" \
        --schedule "$swap_schedule" --ia_sft_dir "$expdir/ia_sft"
}
