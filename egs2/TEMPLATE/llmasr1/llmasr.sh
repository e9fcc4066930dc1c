#!/usr/bin/env bash
# shellcheck disable=SC2034  # some options are found by their names only
# From a corpus to scored transcripts: phoneme CTC pretraining, alignment, IA-SFT with encoder swaps, joint SFT.
# Run from a recipe's folder (egs2/<recipe>/llmasr1); run.sh there holds the recipe's options.
set -eo pipefail
given=("$@")

# Options of llmasr.sh (and of run.sh, which passes them on): --name value, with these defaults
#
# Which stages
stage=1                 # first stage
stop_stage=15           # last stage; 16 sends the model to the Hub, and needs --hub_repo
skip_stages=            # stages to leave out, for example "1 12"
dry_run=false           # true: print what each training takes (memory of a GPU, updates, disk) and run nothing
doctor=false            # true: examine the training of the one stage (5, 7, 8, 9, 10) instead of running it
# Machines
ngpu=0                  # GPUs of each training; 0 trains on the CPU
gpus_pretrain=          # GPUs of stage 5 instead, such as 0-3 or 0,2,5 or node1:0-7 (through ssh); needed beside 7-8
gpus_finetune=          # GPUs of stages 7 and 8 instead: others than those of stage 5 beside
watch_device=cpu        # device of the watcher (stage 6): cpu, cuda, or cuda:N; it may share a GPU with a training
num_nodes=1             # machines of each training, with --ngpu GPUs each; through slurm, sge or ssh (cmd.sh)
rdzv_endpoint=          # where these find each other: this machine's name and a port (empty: <its name>:29400)
nj=4                    # processes of data preparation
nthreads=4              # threads of a stage that runs alone
parallel_nthreads=1     # threads of each of the stages 5, 6 and 7-8 when they run side by side
inference_nj=4          # parallel jobs of decoding
gpu_inference=false     # decode on GPUs: job n on GPU (n - 1) modulo --ngpu
gpu_memory_gb=80        # memory of a GPU, in which --dry_run says whether each training fits
python=python3          # the Python to run everything with
# Data
train_set=train         # names of data/<set>
valid_set=valid
cka_set=cka             # the fixed validation subset on which encoders are compared
test_sets="test"        # one or more; empty: those that stage 1 lists in data/test_sets
local_data_opts=        # options of local/data.sh
fs=16000                # sample rate in Hz; audio of other rates is converted on reading
unit=phone              # what pretraining predicts: phone or char
inventory=zh_en         # phones: zh_en, zh_en_yue, shared_ipa, or a table of another language such as conf/es.tsv
audio_check=decode      # decode: compressed audio as a whole; header: headers; utt2dur: trust data/<set>/utt2dur
min_duration=0.1        # seconds; shorter utterances are dropped
max_duration=30         # seconds; longer utterances are dropped
num_splits=1            # lists of the training set that are read one after the other; for sets too big for memory
stats_utts=100000       # utterances for the feature statistics
dumpdir=                # checked data (empty: dump; dump_char for the strategy char)
expdir=                 # models and logs (empty: exp; exp_<strategy> for another strategy than ia_sft)
# Strategy
strategy=ia_sft         # an entry of conf/strategies.yaml (docs/strategies.md)
base_exp=               # whose stats, llm and pretrain are taken (empty: of exp; strategies ia_sft, char: of <expdir>)
ia_sft_epochs=          # epochs of stage 8, which then follows the pretraining, on swaps planned from its stored epochs
flops_budget=           # of all trainings together, such as 3e14; the last one gets as many epochs as fit
seed=                   # of all trainings (empty: as in their configurations)
# Models: a configuration for each stage, and options that override it, for example --align_args "--max_epoch 5"; words
# with blanks stand in quotes: --llm_args "--system 'You write what is spoken.'". Options given again are appended to
# those of run.sh; options of run.sh for a stage count only with its configuration there, not with another --align_conf.
training_conf=conf/training.yaml  # what all trainings share; a key of a stage's own configuration replaces it
encoder_conf=conf/encoder.yaml    # the encoder of all trainings
llm=                    # hub name, directory or .gguf of a causal LLM, or smollm2; empty: as llm_conf says
llm_conf=conf/llm.yaml
llm_args=               # --instruction and --system: the prompt of all trainings and decodings
init_encoder=           # FireRedASR-AED (or -LLM), or exp/pretrain of ours: its encoder and statistics are the start
pretrain_conf=conf/pretrain.yaml
pretrain_args=
watch_conf=conf/watch.yaml
watch_args=
align_conf=conf/align.yaml
align_args=
ia_sft_conf=conf/ia_sft.yaml
ia_sft_args=
joint_sft_conf=conf/joint_sft.yaml
joint_sft_args=
embedder=               # text embedder of CSAI, such as Qwen/Qwen3-Embedding-8B or minilm (empty: the LLM)
ctc_head_conf=conf/ctc_head.yaml
ctc_head_args=
encoder_dir=            # encoders published by the watcher (empty: <expdir>/encoders)
swap_schedule=          # exp/ia_sft/swaps.jsonl of an earlier run, to repeat its swaps (give its --encoder_dir, too)
# Decoding
decode_conf=conf/decode.yaml
decode_args=
guard=flag                    # transcripts that the CTC head does not support: off, flag, or redecode
inference_exp=                # model to decode: the folder in <expdir> (empty: the strategy's last)
inference_model=latest.pth    # and the weights in it
# Scoring
benchmark_conf=         # conf/benchmark.yaml: stage 12 puts the paper's Tables 1 and 2 beside our figures
benchmark_args=
# Robustness
nonspeech_clips=1200    # clips without speech that stage 13 makes and transcribes; 0 leaves them out
# Sharing
pack_args=              # of bin.pack: --license, --languages, --base_model, --pages LICENSE
hub_repo=               # user/model on the Hugging Face Hub, to which stage 16 sends the pack
upload_args=            # of bin.upload: --private, or --dry_run, which lists the files and sends nothing
log_link=               # for internal use: makes this a link to the log of the stage that is running
# End of options

. utils/parse_options.sh
. ./path.sh
. ./cmd.sh
. ./db.sh
. utils/launch.sh
. utils/strategy.sh
. utils/devices.sh
. utils/evaluate.sh
set -u

wanted() {  # STAGE: it is in the range and not left out
    [ "$1" -ge "$stage" ] && [ "$1" -le "$stop_stage" ] && [[ " $skip_stages " != *" $1 "* ]]
}

at_stage() {  # STAGE SENTENCE
    wanted "$1" || return 1
    log "Stage $1: $2"
    inputs=() job="stage $1" length=''
}

train() {  # NAME COMMAND LABELS [OPTION]...: trains with <NAME>_conf and <NAME>_args in <expdir>/<NAME>
    local dir command=$2 labels=$3 conf=$1_conf args=$1_args split table data last_words options=()
    dir=$(dir_of "$1")
    shift 3
    need_conf training_conf
    need_conf encoder_conf
    need_conf "$conf"
    for split in train valid; do
        data=${split}_set
        data=$dumpdir/${!data}
        for table in utt2num_frames wav.scp "$labels"; do need "$data/$table" 2; done
        if [ "$split" = train ] && [ "$num_splits" -gt 1 ]; then
            data=$data/splits$num_splits
            need "$data/stats.json" 2
            options+=(--multiple_iterator true)
        fi
        options+=("--${split}_data_path_and_name_and_type" "$data/wav.scp,speech,audio_$fs")
        options+=("--${split}_data_path_and_name_and_type" "$data/$labels,$labels,text")
        options+=("--${split}_shape_file" "$data/utt2num_frames")
    done
    need "$base_exp/stats/feats_stats.npz" "$stats_stage"
    words_of "$args"
    read -ra last_words <<<"$length"
    options=(--output_dir "$dir" --resume true "${device_options[@]}" --frontend_conf "fs=$fs"
        --normalize_conf "stats_file=$base_exp/stats/feats_stats.npz" "${options[@]}" "$@" ${seed:+--seed "$seed"}
        "${words[@]}" "${last_words[@]}")
    if [ "$doctor" = true ]; then
        "$python" -m espnet_llmasr.bin.doctor "${!conf}" --base_config "$training_conf" "$encoder_conf" "${options[@]}"
        exit
    fi
    if [ "$train_log" != train.log ]; then mkdir -p "$dir" && ln -sf train.1.log "$dir/train.log"; fi
    launch "$trainer" "$dir/finished" "$dir/$train_log" \
        "${train_python[@]}" -m "espnet_llmasr.bin.$command" --base_config "$training_conf" "$encoder_conf" \
        --config "${!conf}" "${options[@]}"
}

plan() {  # STAGE NAME TASK [GPUS]: prints what a training takes, of utterances of some durations while there are no data
    local conf=$2_conf args=$2_args data=$dumpdir/$train_set options=()
    wanted "$1" || return 0
    need_conf training_conf
    need_conf encoder_conf
    need_conf "$conf"
    [ ! -e "$data/utt2num_frames" ] || options+=(--data_dir "$data")
    if [ "$3" = llm_asr ]; then
        need "$base_exp/llm/config.json" 4
        options+=(--llm_dir "$base_exp/llm")
    elif [ -e "$tokens" ]; then options+=(--token_list "$tokens"); fi
    "$python" -m espnet_llmasr.bin.plan_training "$training_conf" "$encoder_conf" "${!conf}" "--options=${!args}" \
        --task "$3" --fs "$fs" --num_ranks "$(ranks_of "${4:-}")" --gpu_memory_gb "$gpu_memory_gb" "${options[@]}"
    echo
}

train_llm() {  # NAME [OPTION]...
    need "$base_exp/llm/llm.pth" 4
    need "$base_exp/llm/prompt.json" 4
    train "$1" llm_asr_train text --llm_config "$base_exp/llm/config.json" \
        --llm_tokenizer "$base_exp/llm/tokenizer.json" "${@:2}"
}

repeat_swaps() {  # FILE: with --swap_schedule, sets `repeated` to the option that repeats the swaps recorded in FILE
    repeated=()
    [ -n "$swap_schedule" ] || return 0
    [ -e "$1" ] || die "no file $1: --swap_schedule takes exp/ia_sft/swaps.jsonl with exp/align/swaps.jsonl beside"
    repeated=(--swap_schedule "$1")
}

need_encoder() {  # one that is published, or a watcher or a pretraining from which one may still come
    if compgen -G "$encoder_dir/encoder.*.pth" >/dev/null; then return; fi
    if wanted 6; then
        [ "$beside" = false ] || ! wanted 8 || [ -n "$swap_schedule" ] || need_pretraining_to_come
        return
    fi
    if wanted 5 || [ -e "$base_exp/pretrain/config.yaml" ]; then [ -e "$base_exp/pretrain/finished" ] || return 0; fi
    die "no encoder in $encoder_dir: run stages 5 and 6 first, or together with this one (--stage 5 --stop_stage 8)"
}

need_pretraining_to_come() {  # a watcher that begins after it sees the last encoder only
    [ -e "$encoder_dir/cka.jsonl" ] || [ ! -e "$base_exp/pretrain/finished" ] ||
        die "$base_exp/pretrain has ended unwatched, IA-SFT beside it would get the last encoder and no swaps: give" \
            "--ia_sft_epochs N if its epochs are stored (keep_nbest_models), another --base_exp, or --strategy no_swap"
}

need_no_import() {  # its statistics belong to its encoder
    [ ! -e "$base_exp/stats/encoder.pth" ] ||
        die "$base_exp/stats is that of an imported encoder: give --init_encoder as before, or remove $base_exp/stats"
}

import_encoder() {  # before the stages side by side, which all take its statistics in the place of those of stage 3
    local file
    if [ -z "$init_encoder" ]; then need_no_import; return; fi
    log "Stage $encoder_stage: import the encoder of $init_encoder"
    inputs=() job="stage $encoder_stage"
    [ -e "$init_encoder/latest.pth" ] ||
        need_file "$init_encoder/model.pth.tar" "--init_encoder takes the published directory of FireRedASR-AED"
    for file in latest.pth cmvn.ark asr_encoder.pth.tar; do  # of ours; of theirs; of FireRedASR-LLM
        [ ! -e "$init_encoder/$file" ] || inputs+=("$init_encoder/$file")
    done
    launch "$train_cmd" "$base_exp/stats/encoder.pth" "$base_exp/stats/import.log" \
        "$python" -m espnet_llmasr.bin.import_firered "$init_encoder" "$base_exp/stats"
    grep -hE '^(taken|left):' "$base_exp/stats/import.log" || true
}

add_job() {  # NAME FIRST LAST FOLDER: adds a job for those of these stages that are wanted, which work in FOLDER
    local number first='' last='' link=$expdir/$1.log
    for ((number = $2; number <= $3; number++)); do
        if wanted "$number"; then first=${first:-$number} last=$number; fi
    done
    [ -n "$first" ] || return 0
    hold "$4"
    rm -f "$link"
    jobs+=(--job "$1" "$link" "$(printf '%q ' "$0" "${given[@]}" --stage "$first" --stop_stage "$last" \
        --nthreads "$parallel_nthreads" --log_link "$link")")
}

for option in stage stop_stage ngpu num_nodes gpu_memory_gb nj nthreads parallel_nthreads inference_nj fs num_splits \
    stats_utts nonspeech_clips; do
    [[ ${!option} =~ ^(0|[1-9][0-9]{0,8})$ ]] ||  # bash takes 08 for a wrong octal number, and then exits with 0
        die "--$option is '${!option}', expected a whole number without leading zeros, below a billion"
done
[[ $unit =~ ^(phone|char)$ ]] || die "--unit is '$unit', allowed are phone and char"
[[ $guard =~ ^(off|flag|redecode)$ ]] || die "--guard is '$guard', allowed are off, flag and redecode"
[[ $gpu_inference =~ ^(true|false)$ ]] || die "--gpu_inference is '$gpu_inference', allowed are true and false"
[[ $dry_run =~ ^(true|false)$ ]] || die "--dry_run is '$dry_run', allowed are true and false"
[[ $doctor =~ ^(true|false)$ ]] || die "--doctor is '$doctor', allowed are true and false"
[[ " $skip_stages" =~ ^(\ +[1-9][0-9]?)*\ *$ ]] || die "--skip_stages is '$skip_stages', expected numbers such as \"1 12\""
for option in inference_nj num_nodes; do
    [ "${!option}" -ge 1 ] || die "--$option is '${!option}', expected at least 1"
done
[ "$stage" -ge 1 ] && [ "$stage" -le "$stop_stage" ] && [ "$stop_stage" -le 16 ] ||
    die "--stage $stage --stop_stage $stop_stage is no range, allowed is 1 <= stage <= stop_stage <= 16"
! wanted 16 || [ -n "$hub_repo" ] || die "stage 16 sends the model to the Hub: give --hub_repo user/model, or --stop_stage 15"
[ "$doctor" = false ] || [[ $stage-$stop_stage =~ ^(5-5|7-7|8-8|9-9|10-10)$ ]] ||
    die "--doctor true examines one training, not stages $stage to $stop_stage: give 5, 7, 8, 9 or 10 as both"

for option in local_data_opts llm_args pretrain_args watch_args align_args ia_sft_args joint_sft_args ctc_head_args \
    decode_args benchmark_args pack_args upload_args; do
    words_of "$option"  # a quote that is not closed ends the run here
done
rdzv_endpoint=${rdzv_endpoint:-$HOSTNAME:29400}
[[ $rdzv_endpoint =~ ^[^:]+:[1-9][0-9]{1,4}$ ]] || die "--rdzv_endpoint is '$rdzv_endpoint', expected HOST:PORT"
[ "$num_nodes" = 1 ] || rendezvous=(--rendezvous_port "${rdzv_endpoint#*:}")
check_devices
place ''
warn_of_threads

end_together
jobs=() length=''  # length: options that replace a training's number of epochs
export OMP_NUM_THREADS=$nthreads
tokens=$dumpdir/phones.txt
encoder_dir=${encoder_dir:-$expdir/encoders}
decode_dir=$expdir/$inference_exp/decode phone_dir=$base_exp/pretrain/decode
verifier=(--ctc_train_config "$expdir/ctc_head/config.yaml" --ctc_model_file "$expdir/ctc_head/latest.pth")
robust_dir=$expdir/$inference_exp/robustness pack_dir=$expdir/pack
one_gpu_cmd=$(gpu_cmd $((ngpu > 0))) one_device=cpu
[ "$ngpu" = 0 ] || one_device=cuda
encoder_stage=5 stats_stage=3 initial=$base_exp/stats/encoder.pth:encoder:encoder
[ "$pretrains" = true ] || encoder_stage=9  # of --init_encoder
[ -z "$init_encoder" ] || stats_stage=$encoder_stage
inference_cmd=$decode_cmd device=cpu
if [ "$gpu_inference" = true ]; then inference_cmd=$(gpu_cmd 1) device=cuda; fi

if [ "$dry_run" = true ]; then
    plan 5 pretrain phoneme_ctc "$gpus_pretrain"
    plan 7 align llm_asr "$gpus_finetune"
    plan 8 ia_sft llm_asr "$gpus_finetune"
    plan 9 joint_sft llm_asr
    plan 10 ctc_head phoneme_ctc
    exit
fi

if at_stage 1 "Data: make data/{$train_set,$valid_set,$cka_set} and the test sets ${test_sets:-of local/data.sh}"; then
    words_of local_data_opts
    python=$python supervise local/data.sh "${words[@]}"
fi
if [ -z "${test_sets// /}" ]; then
    need_file data/test_sets "run stage 1 first, or name folders in data with --test_sets"
    test_sets=$(xargs <data/test_sets)
fi
read -ra tests <<<"$test_sets"

if at_stage 2 "Check the audio ($audio_check), make the labels (unit: $unit)"; then
    need "data/$train_set/text" 1
    need_conf encoder_conf
    mapfile -t sets < <(printf '%s\n' "$train_set" "$valid_set" "$cka_set" "${tests[@]}" | awk '!seen[$0]++')
    for set in "${sets[@]}"; do
        need "data/$set/wav.scp" 1
        need "data/$set/text" 1
        also "data/$set"/{segments,utt2lang,utt2dur,text_pron} "$inventory"
        is_test=--test  # a test set keeps all its utterances
        [[ " $train_set $valid_set $cka_set " != *" $set "* ]] || is_test=
        launch "$train_cmd" "$dumpdir/$set/wav.scp" "$dumpdir/log/$set.log" \
            "$python" -m espnet_llmasr.bin.format_data --data "data/$set" --out "$dumpdir/$set" --tokens "$tokens" \
            --unit "$unit" --inventory "$inventory" --token_text "data/$train_set/text" --fs "$fs" \
            --audio_check "$audio_check" --encoder_config "$encoder_conf" \
            --min_duration "$min_duration" --max_duration "$max_duration" ${is_test:+"$is_test"} --nj "$nj"
        grep -hE 'WARNING|kept' "$dumpdir/log/$set.log" | cut -d ' ' -f 3- || true
    done
    if [ "$num_splits" -gt 1 ]; then
        need "$dumpdir/$train_set/utt2num_frames" 2
        launch "$train_cmd" "$dumpdir/$train_set/splits$num_splits/stats.json" "$dumpdir/log/splits.log" \
            "$python" -m espnet_llmasr.bin.split_data --data_dir "$dumpdir/$train_set" --num_splits "$num_splits"
    fi
fi

if [ -z "$init_encoder" ] && at_stage 3 "Statistics of the features of $train_set"; then
    need_no_import
    need "$dumpdir/$train_set/wav.scp" 2
    need_conf encoder_conf
    launch "$train_cmd" "$base_exp/stats/feats_stats.npz" "$base_exp/stats/stats.log" \
        "$python" -m espnet_llmasr.bin.compute_stats --data_dir "$dumpdir/$train_set" --encoder_config "$encoder_conf" \
        --output "$base_exp/stats/feats_stats.npz" --fs "$fs" --max_utterances "$stats_utts"
fi

if at_stage 4 "Prepare the LLM ${llm:-of $llm_conf}"; then
    need_conf llm_conf
    need "$dumpdir/$train_set/text" 2
    words_of llm_args
    launch "$train_cmd --num-threads $nthreads" "$base_exp/llm/prompt.json" "$base_exp/llm/prepare.log" \
        "$python" -m espnet_llmasr.bin.prepare_llm --config "$llm_conf" --output_dir "$base_exp/llm" \
        --text "$dumpdir/$train_set/text" ${llm:+--llm "$llm"} "${words[@]}"
fi

if [ -z "$log_link" ] && wanted 5 && [ ! -e "$base_exp/pretrain/latest.pth" ] && [ -e "$encoder_dir/cka.jsonl" ]; then
    die "$encoder_dir is from another pretraining: remove it, or choose another --encoder_dir"
fi
if [ -z "$log_link" ] && { wanted 7 || wanted 8; }; then need_encoder; fi
if [ -z "$log_link" ] && wanted "$encoder_stage"; then import_encoder; fi
if [ -z "$log_link" ] && [ "$beside" = true ]; then  # this script again for each of three jobs
    add_job pretraining 5 5 "$base_exp/pretrain"
    add_job watcher 6 6 "$encoder_dir"
    if wanted 7; then add_job fine_tuning 7 8 "$expdir/align"; else add_job fine_tuning 7 8 "$expdir/ia_sft"; fi
    if [ ${#jobs[@]} -gt 4 ]; then  # more than one job
        log "Stages 5, 6 and 7-8 run side by side, as far as they are wanted; their logs: $expdir/*.log"
        mkdir -p "$expdir"
        ! wanted 5 || ! wanted 6 || mkdir -p "$base_exp/pretrain/unchecked"  # for every epoch that the watcher has to see
        in_parallel "${jobs[@]}"
        skip_stages+=" 5 6 7 8"
    fi
fi

if at_stage 5 "Pretrain the encoder with CR-CTC on ${unit}s"; then
    need "$tokens" 2
    [ -z "$init_encoder" ] || need "$base_exp/stats/encoder.pth" 5
    place pretrain "$gpus_pretrain"
    train pretrain phoneme_ctc_train phones --token_list "$tokens" ${init_encoder:+--init_param "$initial"}
fi

if at_stage 6 "Watch the pretraining: publish an encoder when its CKA to the last one falls below the threshold"; then
    need_conf watch_conf
    need "$dumpdir/$cka_set/wav.scp" 2
    [ -d "$base_exp/pretrain" ] || need "$base_exp/pretrain/config.yaml" 5
    if [ "$beside" = true ]; then inputs+=("$base_exp/pretrain/finished"); else need "$base_exp/pretrain/finished" 5; fi
    inputs+=("$base_exp/pretrain/latest.pth")
    words_of watch_args
    watch_cmd=$train_cmd
    [ "$watch_device" = cpu ] || watch_cmd=$(gpu_cmd 1 "$(cut -d : -f 2 -s <<<"$watch_device")")
    launch "$watch_cmd" "$encoder_dir/final" "$encoder_dir/watch.log" \
        "$python" -m espnet_llmasr.bin.watch --config "$watch_conf" --pretrain_dir "$base_exp/pretrain" \
        --data_dir "$dumpdir/$cka_set" --encoder_dir "$encoder_dir" --epochs "$watched" \
        --device "${watch_device%:*}" "${words[@]}"
fi

if at_stage 7 "Align: train the adaptor on the first published encoder"; then
    repeat_swaps "$(dirname "$(dirname "$swap_schedule")")/align/swaps.jsonl"
    inputs+=("$encoder_dir/encoder.*.pth")  # the first one
    place align "$gpus_finetune"
    train_llm align --init_param "$base_exp/llm/llm.pth::llm" --encoder_dir "$encoder_dir" "${repeated[@]}"
fi

if at_stage 8 "IA-SFT: train adaptor and LLM while newer encoders are swapped in"; then
    need "$expdir/align/latest.pth" 7
    place ia_sft "$gpus_finetune"
    length=$(length_of ia_sft)
    plan_ia_sft "$length"
    repeat_swaps "$swap_schedule"
    inputs+=("$encoder_dir/final" "$encoder_dir/cka.jsonl")
    train_llm ia_sft --init_param "$expdir/align/latest.pth" --encoder_dir "$encoder_dir" "${repeated[@]}"
fi

if at_stage 9 "Joint SFT: train encoder, adaptor and LLM, starting from $joint_from"; then
    need "${joint_from%%::*}" "$joint_stage"
    make_targets "$cka_set"
    place joint_sft
    length=$(length_of joint_sft)
    starts=("$joint_from")
    if [ -n "$init_encoder" ] && [ "$pretrains" = false ]; then
        need "$base_exp/stats/encoder.pth" 9
        starts+=("$initial")
    fi
    if { [ "$beside" = true ] || [ "$watched" = stored ]; } && [ ! -e "$expdir/joint_sft/finished" ]; then
        "$python" -m espnet_llmasr.bin.check_swaps "$expdir/ia_sft"
    fi
    train_llm joint_sft --init_param "${starts[@]}" --drift_data "$dumpdir/$cka_set" --drift_targets "$targets"
fi

if at_stage 10 "Fit the CTC head to the encoder of $last, calibrate the guard"; then
    need "$tokens" 2
    need "$expdir/$last/latest.pth" "$last_stage"
    heads=()
    if [ "$pretrains" = true ]; then
        need "$base_exp/pretrain/latest.pth" 5
        heads=("$base_exp/pretrain/latest.pth:ctc_head:ctc_head")
    fi
    place ctc_head
    train ctc_head phoneme_ctc_train phones --token_list "$tokens" --freeze_param encoder --init_param \
        "$expdir/$last/latest.pth:encoder:encoder" "${heads[@]}"
    need "$expdir/ctc_head/latest.pth" 10
    launch "$one_gpu_cmd" "$expdir/ctc_head/guard.json" "$expdir/ctc_head/guard.log" \
        "$python" -m espnet_llmasr.bin.calibrate_guard "${verifier[@]}" --data_dir "$dumpdir/$valid_set" \
        --device "$one_device"
    grep -h flagged "$expdir/ctc_head/guard.log" | cut -d ' ' -f 4- || true
fi

if at_stage 11 "Decode $test_sets with $inference_exp/$inference_model, ${unit}s with the pretrained encoder"; then
    need_model
    [ "$pretrains" = false ] || need "$base_exp/pretrain/latest.pth" 5
    for set in "${tests[@]}"; do
        need "$dumpdir/$set/wav.scp" 2
        transcribe "$dumpdir/$set" "$decode_dir/$set"
        if [ "$pretrains" = true ]; then transcribe_phones "$dumpdir/$set" "$phone_dir/$set"; fi
    done
fi

if at_stage 12 "Score: error rates under every normaliser route, hallucination, the worst utterances"; then
    need_transcripts
    if [ "$pretrains" = true ]; then
        for set in "${tests[@]}"; do need "$phone_dir/$set/phones" 11; done
    fi
    score_all
    publish results_page "$decode_dir/RESULTS.md" "$results" "$guard"
    without_controls <"$decode_dir/RESULTS.md"
    show_example "${tests[-1]}"
    printf '\nWorst utterances: %s\nResults: %s\n' "$decode_dir/worst.html" "$(realpath "$results")"
fi

if at_stage 13 "Robustness: $nonspeech_clips clips without speech and replaced audio, with and without the guard"; then
    need "$expdir/ctc_head/guard.json" 10
    need_transcripts off flag  # a missing one is named before hours of decoding
    if [ "$nonspeech_clips" -gt 0 ]; then
        inputs=()
        transcribe_nonspeech
    fi
    inputs=()
    need "$expdir/ctc_head/guard.json" 10
    need_model
    need_transcripts off flag
    replaced_and_redecoded
    page=$(dirname "$results")/ROBUSTNESS.md
    publish robustness_page "$robust_dir/ROBUSTNESS.md" "$page" off
    cat "$robust_dir/ROBUSTNESS.md"
    printf '\nRobustness: %s\n' "$(realpath "$page")"
    [ "$nonspeech_clips" = 0 ] || printf 'Transcripts of the clips: %s\n' "$robust_dir/off/worst.html"
fi

if at_stage 14 "Observe: NSE, PAI, CSAI and CKA of all stored encoders, figures, one page"; then
    need "$expdir/$last/latest.pth" "$last_stage"
    make_targets "$valid_set"
    if [ "$base_exp" != "$expdir" ] && [ "$pretrains" = true ]; then
        ln -sfnr "$base_exp/pretrain" "$expdir/pretrain"  # its page shows the pretraining that it shares
    fi
    show "$one_gpu_cmd" "$expdir/observe/measure.log" \
        "$python" -m espnet_llmasr.bin.measure_encoders --exp "$expdir" --data_dir "$dumpdir/$valid_set" \
        --targets "$targets" --num_utterances 1000 --out "$expdir/observe" --label "$strategy" --device "$one_device"
    "$python" -m espnet_llmasr.bin.report --expdir "$expdir" --out "$expdir/report.html"
    printf '\nFigures: %s\nReport: %s\n' "$(realpath -m "$expdir/observe")" "$(realpath -m "$expdir/report.html")"
fi

if at_stage 15 "Pack $inference_exp/$inference_model: a folder and a zip for Speech2Text.from_pretrained"; then
    need_model
    need_transcripts
    need "$decode_dir/RESULTS.md.made_by" 12
    need "$decode_dir/scores.json" 12
    need "$dumpdir/$train_set/utt2num_frames" 2
    pack_model
    printf '\nModel: %s and %s.zip\n' "$(realpath "$pack_dir")" "$pack_dir"
fi

if at_stage 16 "Send $expdir/pack to $hub_repo on the Hugging Face Hub"; then
    need "$pack_dir/meta.yaml" 15
    grep -qxF "# $hub_repo" "$pack_dir/README.md" ||
        die "$pack_dir/README.md, the card, has another name than $hub_repo: run stage 15 with this --hub_repo, too"
    words_of upload_args
    supervise "$python" -m espnet_llmasr.bin.upload "$pack_dir" "$hub_repo" "${words[@]}"
fi
