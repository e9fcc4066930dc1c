"""Prints what a training takes: memory of each GPU, updates, passes over the data, disk; with --measure hours.

python -m espnet_llmasr.bin.plan_training conf/training.yaml conf/encoder.yaml conf/joint_sft.yaml --task llm_asr \
    --data_dir dump/train --llm_dir exp/llm --num_ranks 1 8 --gpu_memory_gb 80
Nothing is trained and no GPU is needed: a step of the full model runs on tensors without contents, with the largest
batches of the data. Without --data_dir the batches are of utterances of --durations.
"""

import argparse
from pathlib import Path

from espnet_llmasr.cli import Parser, at_least, between, device, run
from espnet_llmasr.experiments.cost import TASKS
from espnet_llmasr.experiments.training_plan import report


def parser() -> Parser:
    options = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = options.add_argument
    add("plan", type=Path, nargs="+", metavar="CONF", help="configuration of the training, after those it shares")
    add("--task", choices=tuple(TASKS), default="llm_asr", help="what the configuration is of")
    add("--data_dir", type=Path, help="training set with utt2num_frames, and text (llm_asr) or phones (phoneme_ctc)")
    add("--durations", type=between(0), nargs="+", default=[1.0, 4.5, 15.0, 30.0], help="seconds, if there are no data")
    add("--hours", type=between(0), help="hours of speech, while there are no data")
    add("--llm_dir", type=Path, help="for llm_asr: folder with config.json, and with tokenizer.json if there are data")
    add("--token_list", type=Path, help="for phoneme_ctc: dump/phones.txt")
    add("--fs", type=at_least(1000), default=16000, help="sampling rate in Hz")
    add("--options", default="", help="further options of the training, in one string: '--freeze_param encoder'")
    add("--num_ranks", type=at_least(1), nargs="+", default=[1], help="GPUs that train together")
    add("--gpu_memory_gb", type=at_least(1), default=80, help="memory of a GPU, in 10^9 bytes")
    add("--measure", type=device, metavar="DEVICE", help="train for a minute on this device, to know the hours")
    return options


def main(argv=None):
    options = parser()
    args = options.parse_args(argv)
    if args.task == "llm_asr" and args.llm_dir is None:
        options.error("--task llm_asr needs --llm_dir")
    print(report(args), end="")


if __name__ == "__main__":
    run(main)
