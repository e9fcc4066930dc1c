# shellcheck shell=bash
# Sourced: how jobs are launched. All launchers are called as  <launcher> [--option value]... [JOB=1:n] LOG COMMAND...
#   train_cmd   jobs on CPUs: data, statistics, the watcher
#   cuda_cmd    trainings and everything else on GPUs; llmasr.sh adds --gpu <number>
#   decode_cmd  decoding in parallel jobs
# local runs everything here; the others need a launcher of Kaldi and its conf/{slurm,queue}.conf (see ESPnet).
cmd_backend=${cmd_backend:-local}

case $cmd_backend in
    local) train_cmd=utils/run.pl cuda_cmd=utils/run.pl decode_cmd=utils/run.pl ;;  # Kaldi's own knows no --gpu
    slurm) train_cmd=slurm.pl cuda_cmd=slurm.pl decode_cmd=slurm.pl ;;
    sge) train_cmd=queue.pl cuda_cmd=queue.pl decode_cmd=queue.pl ;;
    ssh) train_cmd=ssh.pl cuda_cmd=ssh.pl decode_cmd=ssh.pl ;;  # hosts in .queue/machines
    *) echo "cmd.sh: cmd_backend is '$cmd_backend', allowed are local, slurm, sge and ssh" >&2; exit 1 ;;
esac
export train_cmd cuda_cmd decode_cmd
