"""Reading text loads no package that it does not need, and nothing tries the network."""

import os
import subprocess
import sys

import pytest

PHONEMES, TRANSCRIPT = "espnet_llmasr.text.phonemes", "espnet_llmasr.text.transcript"
OFFLINE = """
import importlib, socket, sys
def refuse(*args, **kwargs):
    raise OSError("the network was tried")
socket.socket.connect = socket.getaddrinfo = refuse
module = importlib.import_module(sys.argv[1])
exec(sys.argv[2])
print(sorted(set(sys.argv[3:]) & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "module, code, absent",
    [
        (PHONEMES, "module.Phonemizer()('你好 hello')", "nltk g2p_en pypinyin torch numpy espnet espnet2"),
        (PHONEMES, "module.Phonemizer()('flimzorp')", "nltk g2p_en inflect"),
        (TRANSCRIPT, "module.Transcript()('plain', 'en')", "tn pynini importlib_resources"),
        ("espnet_llmasr.text.routes", "module.make_route('whisper').normalize('It is $5.', 'en')", "torch"),
    ],
)
def test_what_a_line_loads(module, code, absent, tmp_path):
    if "whisper" in code:
        pytest.importorskip("whisper_normalizer", reason="pip install whisper-normalizer")
    environment = {**os.environ, "ESPNET_LLMASR_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", OFFLINE, module, code, *absent.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n", done.stderr
