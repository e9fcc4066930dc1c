"""Data directories in Kaldi form: reading, checking, labelling, combining and writing utterances.

Start with kaldi.py (the reader) and writer.py (the writer). corpora/ reads published corpora, overlap/ finds training
utterances that are in a test set. Nothing here needs torch's models or ESPnet.
"""
