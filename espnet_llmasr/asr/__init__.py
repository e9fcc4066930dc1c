"""Models: encoder protocol and Conformer, filter banks, CR-CTC, adaptor, LLM, and the two models that train.

Start with phoneme_ctc_model.py (pretraining) and llm_asr_model.py (alignment, IA-SFT, joint SFT); encoder.py says what
an encoder must offer.
"""
