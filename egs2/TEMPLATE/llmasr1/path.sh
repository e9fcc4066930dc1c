# shellcheck shell=bash
# Sourced: where the commands are. In an ESPnet checkout its Python and launchers are taken, elsewhere $VENV or .venv.
export LC_ALL=C.UTF-8 PYTHONIOENCODING=UTF-8
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # a thread that waits leaves its core to others: half the time beside other work
export PATH=$PWD/utils:$PATH

if [ -f ../../../tools/activate_python.sh ]; then
    # shellcheck disable=SC1091
    . ../../../tools/activate_python.sh
    export PATH=$PWD/../../../tools/kaldi/egs/wsj/s5/utils:$PATH
elif [ -d "${VENV:-../../../.venv}/bin" ]; then
    PATH=$(cd "${VENV:-../../../.venv}/bin" && pwd):$PATH
fi
if [ -d ../../../espnet_llmasr ] && ! python3 -c 'import espnet_llmasr' 2>/dev/null; then  # not installed
    PYTHONPATH=$(cd ../../.. && pwd)${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
fi
