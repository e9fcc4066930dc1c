# shellcheck shell=bash
# Sourced by llmasr.sh: the GPUs, nodes and threads of each job. GPUs have the numbers that a program sees: with
# CUDA_VISIBLE_DEVICES=4,5,6,7 in the environment GPU 0 is 4. The variables are those of llmasr.sh.

gpus_of() {  # [HOST:]0-3,6: prints 0,1,2,3,6; fails if it is no such list, or has a GPU twice
    local range='[0-9]{1,3}(-[0-9]{1,3})?' part number numbers=()
    [[ $1 =~ ^([A-Za-z0-9][-A-Za-z0-9.@]*:)?$range(,$range)*$ ]] || return 1
    for part in $(tr , ' ' <<<"${1#*:}"); do
        [ $((10#${part%-*})) -le $((10#${part#*-})) ] || return 1
        for ((number = 10#${part%-*}; number <= 10#${part#*-}; number++)); do
            [[ " ${numbers[*]} " != *" $number "* ]] || return 1
            numbers+=("$number")
        done
    done
    (IFS=, && echo "${numbers[*]}")
}

host_of() {  # [HOST:]GPUS: prints the host; nothing for this machine
    [[ $1 != *:* ]] || [[ ${1%%:*} =~ ^(localhost|$HOSTNAME|${HOSTNAME%%.*})$ ]] || echo "${1%%:*}"
}

shared_gpu() {  # [HOST:]GPUS [HOST:]GPUS: prints a GPU that is in both; fails if there is none
    [ "$(host_of "$1")" = "$(host_of "$2")" ] || return 1
    comm -12 <(gpus_of "$1" | tr , '\n' | sort) <(gpus_of "$2" | tr , '\n' | sort) | sort -n | grep -m 1 .
}

visible() {  # GPUS: prints CUDA_VISIBLE_DEVICES for a program that shall see these; fails if one is not there
    local number all names=()
    [ -n "${CUDA_VISIBLE_DEVICES:-}" ] || { echo "$1"; return; }
    IFS=, read -ra all <<<"$CUDA_VISIBLE_DEVICES"
    for number in $(tr , ' ' <<<"$1"); do
        [ "$number" -lt ${#all[@]} ] || return 1
        names+=("${all[number]}")
    done
    (IFS=, && echo "${names[*]}")
}

gpu_cmd() {  # NUMBER [[HOST:]GPUS]: prints the launcher of jobs with NUMBER GPUs each, of GPUS or else of --ngpu
    local gpus host
    [ "$1" -gt 0 ] && [ "$cmd_backend" = local ] || { echo "$cuda_cmd --gpu $1"; return; }
    gpus=$(gpus_of "${2:-0-$((ngpu > 0 ? ngpu - 1 : 0))}") host=$(host_of "${2:-}")
    if [ -n "$host" ]; then echo "env CUDA_VISIBLE_DEVICES=$gpus $cuda_cmd --host $host --gpu $1"
    else echo "env CUDA_VISIBLE_DEVICES=$(visible "$gpus") $cuda_cmd --gpu $1"; fi
}

ranks_of() {  # [[HOST:]GPUS]: prints the number of processes of a training
    local gpus
    gpus=$(gpus_of "${1:-0-$((ngpu > 0 ? ngpu - 1 : 0))}" | tr -cd , | wc -c)
    echo $(((gpus + 1) * num_nodes))
}

place() {  # NAME [[HOST:]GPUS]: the trainings that follow run there; without GPUS on --ngpu of each of --num_nodes
    num_ranks=$(ranks_of "${2:-}")
    trainer=$(gpu_cmd $((ngpu > 0 ? num_ranks / num_nodes : 0)) "${2:-}")
    train_log=train.log train_python=("$python") device_options=(--ngpu $((ngpu > 0)))
    [ "$num_ranks" -gt 1 ] || return 0
    device_options=(--ngpu 1 --multiprocessing_distributed false)  # one process a GPU; each sees one
    if [ "$num_nodes" = 1 ]; then
        train_python+=(-m torch.distributed.run --standalone)
    else  # the jobs of a cluster may begin at different times: they wait for each other for a day
        trainer+=" JOB=1:$num_nodes" train_log=train.JOB.log
        train_python+=(-m torch.distributed.run --nnodes "$num_nodes" --rdzv_backend c10d --rdzv_endpoint
            "$rdzv_endpoint" --rdzv_id "$1" --rdzv_conf join_timeout=86400)
    fi
    train_python+=(--nproc_per_node $((num_ranks / num_nodes)))
}

trains_beside() {  # two trainings run at the same time
    [ "$beside" = true ] && [ -z "$log_link" ] && wanted 5 && { wanted 7 || wanted 8; }
}

check_devices() {  # ends the run, before anything has started, where two trainings would meet on a GPU
    local option gpu advice="give, for example, --gpus_pretrain 0-3 --gpus_finetune 4-7"
    [[ $watch_device =~ ^(cpu|cuda(:[0-9]{1,3})?)$ ]] ||
        die "--watch_device is '$watch_device', allowed are cpu, cuda and cuda:N"
    for option in gpus_pretrain gpus_finetune; do
        [ -n "${!option}" ] || continue
        gpu=$(gpus_of "${!option}") ||
            die "--$option is '${!option}', expected GPUs such as 0-3 or 0,2,5 or node1:0-7"
        [ "$cmd_backend" = local ] ||
            die "--$option needs cmd_backend local (cmd.sh): $cuda_cmd places --ngpu GPUs itself"
        [ "$ngpu" -gt 0 ] || die "--$option needs --ngpu, too: the GPUs of all other stages"
        [ -n "$(host_of "${!option}")" ] || visible "$gpu" >/dev/null ||
            die "--$option is '${!option}', but CUDA_VISIBLE_DEVICES='$CUDA_VISIBLE_DEVICES' has GPUs 0 to" \
                "$(tr -cd , <<<"$CUDA_VISIBLE_DEVICES" | wc -c)"
    done
    for gpu in "$((ngpu > 0 ? ngpu - 1 : 0))" "$(cut -d : -f 2 -s <<<"$watch_device")"; do
        [ "$cmd_backend" != local ] || visible "$gpu" >/dev/null ||
            die "--ngpu $ngpu or --watch_device $watch_device is more than" \
                "CUDA_VISIBLE_DEVICES='$CUDA_VISIBLE_DEVICES' has"
    done
    if [ "$num_nodes" -gt 1 ]; then
        [ "$cmd_backend" != local ] || die "--num_nodes $num_nodes needs cmd_backend slurm, sge or ssh (cmd.sh)"
        [ "$ngpu" -gt 0 ] || die "--num_nodes $num_nodes needs --ngpu, the GPUs on each of them"
    fi
    [ "$ngpu" -gt 0 ] && trains_beside || return 0
    case $cmd_backend in
        local)
            [ -n "$gpus_pretrain" ] && [ -n "$gpus_finetune" ] ||
                die "stages 5 and 7-8 run side by side, both on the GPUs of --ngpu $ngpu: $advice"
            ! gpu=$(shared_gpu "$gpus_pretrain" "$gpus_finetune") ||
                die "GPU $gpu is in --gpus_pretrain $gpus_pretrain and in --gpus_finetune $gpus_finetune: $advice" ;;
        ssh)
            die "stages 5 and 7-8 run side by side, and ssh.pl starts both on the same machines: take cmd_backend local" \
                "(cmd.sh) and give, for example, --gpus_pretrain node1:0-7 --gpus_finetune node2:0-7" ;;
    esac
}

warn_of_threads() {  # OpenMP's threads spin while they wait: more threads than cores can take several times as long
    local cores many=() ranks=$(($(ranks_of "$gpus_pretrain") + $(ranks_of "$gpus_finetune")))
    [ "$cmd_backend" = local ] && [ -z "$log_link" ] || return 0
    cores=$(env -u OMP_NUM_THREADS nproc)
    count() { [ "$1" -le "$cores" ] || many+=("${*:2},"); }
    [ "$stage" -gt 2 ] || count "$nj" --nj "$nj"
    [ "$stop_stage" -lt 4 ] || count $((nthreads * num_ranks)) --nthreads "$nthreads" x "$num_ranks"
    ! trains_beside || count $((parallel_nthreads * ranks)) --parallel_nthreads "$parallel_nthreads" x "$ranks"
    if wanted 11 || wanted 13; then count "$inference_nj" --inference_nj "$inference_nj"; fi
    [ ${#many[@]} = 0 ] || log "WARNING: ${many[*]} but only $cores cores here: threads above that slow all down"
}
