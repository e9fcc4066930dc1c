# shellcheck shell=bash
# Sourced: where the corpora are. Set a path here or in the environment (LIBRISPEECH=<dir> ./run.sh); a corpus without
# a path is left out. Licences and addresses: python3 -m espnet_llmasr.bin.prepare_corpus --list
# Layouts: espnet_llmasr/data/corpora/*.py
export FSDD=${FSDD:-}                            # free-spoken-digit-dataset, the folder that holds recordings/
# Training corpora (Table 4 of the paper); many hold their own test sets
export YODAS_GRANARY=${YODAS_GRANARY:-}          # espnet/yodas-granary
export EMILIA=${EMILIA:-}                        # amphion/Emilia-Dataset
export MLS_ENGLISH=${MLS_ENGLISH:-}              # mls_english or mls_english_opus
export VOXPOPULI=${VOXPOPULI:-}                  # the folder that holds transcribed_data/
export MSR_86K=${MSR_86K:-}                      # a folder of JSON lines and audio
export COMMONVOICE=${COMMONVOICE:-}              # cv-corpus-15.0-2023-09-08, which holds en/ and zh-CN/
export GIGASPEECH=${GIGASPEECH:-}                # the folder of GigaSpeech.json
export LIBRIHEAVY=${LIBRIHEAVY:-}                # the cuts and Libri-Light's audio
export LIBRISPEECH=${LIBRISPEECH:-}              # LibriSpeech, which holds train-clean-100/, ...
export SPGISPEECH=${SPGISPEECH:-}                # spgispeech, which holds train.csv
export PEOPLES_SPEECH=${PEOPLES_SPEECH:-}        # MLCommons/peoples_speech
export VCTK=${VCTK:-}                            # VCTK-Corpus-0.92
export TEDLIUM3=${TEDLIUM3:-}                    # TEDLIUM_release-3
export WENETSPEECH_YUE=${WENETSPEECH_YUE:-}      # the metadata and the audio that belongs to it
export WENETSPEECH_CHUAN=${WENETSPEECH_CHUAN:-}  # the metadata and the audio that belongs to it
export WENETSPEECH=${WENETSPEECH:-}              # the folder of WenetSpeech.json
export FLEURS=${FLEURS:-}                        # google/fleurs, its audio unpacked
export AISHELL1=${AISHELL1:-}                    # data_aishell
export AISHELL2=${AISHELL2:-}                    # the folder that holds iOS/data
export KESPEECH=${KESPEECH:-}                    # the folder that holds Tasks/ and Audio/
export CS_DIALOGUE=${CS_DIALOGUE:-}              # BAAI/CS-Dialogue, which holds data/
export ASCEND=${ASCEND:-}                        # CAiRE/ASCEND
# Benchmarks that come by themselves
export AISHELL2_EVAL=${AISHELL2_EVAL:-}          # AISHELL-DEV-TEST-SET
export AISHELL_2021_EVAL=${AISHELL_2021_EVAL:-}  # wavs and transcripts
export WSC_EVAL=${WSC_EVAL:-}                    # ASLP-lab/WSC-Eval
export WSYUE_EVAL=${WSYUE_EVAL:-}                # ASLP-lab/WSYue-ASR-eval
export SPEECHIO=${SPEECHIO:-}                    # SPEECHIO_ASR_ZH00000, ...
