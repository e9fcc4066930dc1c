"""Runs pretraining (or re-fits the CTC head): python -m espnet_llmasr.bin.phoneme_ctc_train --config conf.yaml ..."""

from espnet_llmasr.cli import run, train
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask


def main(cmd=None):
    """All options are ESPnet's and the task's: see --help."""
    train(PhonemeCTCTask, cmd)


if __name__ == "__main__":
    run(main)
