"""python -m espnet_llmasr -m espnet2.bin.asr_train ...: see run.py."""

import sys

from espnet_llmasr import run

if __name__ == "__main__":
    sys.modules["__main__"] = run  # what spawned workers import
    run.main()
