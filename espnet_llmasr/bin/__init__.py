"""Commands: `python -m espnet_llmasr.bin.<name>`. Each file parses its options, calls one package and prints.

Nobody imports these modules. The stages of a recipe (egs2/TEMPLATE/llmasr1/llmasr.sh) show them in order.
"""
