"""espeak-ng through ctypes: text in, 16 kHz samples out. Library and voices come from PyPI (espeakng-loader).

espeak keeps state between sentences (noise, flutter), so equal samples need an equal history. For repeatable audio
start a fresh process per fixed chunk of sentences, as mini_zh_en.py does.
"""

import ctypes
from pathlib import Path

import numpy as np
import soxr

SAMPLE_RATE_HZ = 16000
AUDIO_OUTPUT_SYNCHRONOUS = 2
CHARS_UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER: words per minute, 0-100, 0-100
EDGE_LEVEL = 0.01  # samples below this fraction of the peak are silence at an edge
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """One synthesiser per process (the library holds global state)."""

    def __init__(self):
        self._library, data_path = load_library()
        self._variants = Path(data_path, "voices", "!v")
        self._rate_hz = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), 0)
        if self._rate_hz <= 0:
            raise ValueError(f"espeak-ng does not start with {data_path}: reinstall espeakng-loader")
        self._blocks = []
        self._callback = CALLBACK(self._collect)  # kept alive: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text, voice, rate_wpm, pitch, pitch_range):
        """Returns float32 samples at 16 kHz, (num_samples,), silence at both ends removed. voice: e.g. "en-us+f2"."""
        self._set_voice(voice)
        for parameter, value in ((RATE, rate_wpm), (PITCH, pitch), (RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._blocks.clear()
        data = text.encode()
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 0, 0, CHARS_UTF8, None, None)
        samples = np.concatenate([*self._blocks, np.zeros(1, np.int16)]).astype(np.float32) / 32768
        return trim(soxr.resample(samples, self._rate_hz, SAMPLE_RATE_HZ))

    def phonemes(self, text, voice):
        """Returns espeak-ng's own phoneme names; a part read in another language than the voice's begins with (en)."""
        self._set_voice(voice)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        clause = ctypes.c_char_p(text.encode())
        return self._library.espeak_TextToPhonemes(ctypes.byref(clause), CHARS_UTF8, 0).decode()

    def _set_voice(self, voice):
        variant = voice.partition("+")[2]  # espeak-ng would silently ignore an unknown one
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0 or not (self._variants / variant).exists():
            raise ValueError(f"espeak-ng has no voice {voice}")

    def _collect(self, samples, num_samples, events):
        if samples and num_samples > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (num_samples,)).copy())
        return 0


def load_library():
    """Returns (library, directory that holds espeak-ng's voices)."""
    try:
        import espeakng_loader
    except ImportError:
        raise ValueError("espeak-ng, the speech synthesiser, is missing: pip install espeakng-loader") from None
    return ctypes.CDLL(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path())


def trim(samples):
    """Cuts silence off both ends; (num_samples,) -> (fewer,)."""
    loud = np.flatnonzero(np.abs(samples) > EDGE_LEVEL * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]
