# The package in an image, for CPUs and NVIDIA GPUs:
#     docker build -t espnet_llmasr .
#     docker run --rm --gpus all -v "$PWD:/data" espnet_llmasr espnet_llmasr.bin.transcribe talk.flac --model exp/pack
#     docker run --rm --gpus all -p 8000:8000 -v "$PWD:/data" espnet_llmasr espnet_llmasr.bin.serve exp/pack --host 0.0.0.0
# For CPUs alone, some GB smaller: --build-arg TORCH_INDEX=URL, the index of CPU wheels that pytorch.org names.
# EXTRAS are what setup.py calls extras.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

ARG TORCH_INDEX=
ARG EXTRAS=transcribe,hotwords,score,serve

# g++ compiles what has no wheel
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/espnet_llmasr
COPY setup.py setup.cfg constraints.txt ./
COPY espnet_llmasr espnet_llmasr
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt setuptools wheel \
    && if [ -n "$TORCH_INDEX" ]; then \
        /opt/venv/bin/pip install --no-cache-dir -c constraints.txt --index-url "$TORCH_INDEX" torch torchaudio; \
    fi \
    && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]"
ENV PATH=/opt/venv/bin:$PATH

RUN useradd --uid 1000 --create-home user
USER 1000
WORKDIR /data
ENTRYPOINT ["python", "-m"]
CMD ["espnet_llmasr.bin.transcribe", "--help"]
