"""The two ESPnet tasks: PhonemeCTCTask (pretraining, CTC head) and LLMASRTask (alignment, IA-SFT, joint SFT).

speech_task.py holds what both share, checks.py what is checked before a training starts.
"""
