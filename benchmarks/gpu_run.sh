#!/bin/sh
# The next runs of the queue on a GPU: gpu_run.sh OUT [MINUTES] [more of gpu_run.py's options]
# Needs this checkout, a pack of photographs (PACK, by default photos.pack in the checkout) and PyTorch. Packages that
# the machine lacks, such as pydantic, are taken from wheels in .whl/ of the checkout, without a network.
set -eu
out=${1:?give OUT, the folder for what is to be kept, and the minutes}
minutes=${2:-9}
[ $# -gt 1 ] && shift 2 || shift 1
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
path=$here/src
if ls "$here"/.whl/*.whl >/dev/null 2>&1; then
    site=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$here"/.whl/*.whl
    path=$path:$site
fi
PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 \
    exec "$python" "$here/benchmarks/gpu_run.py" "$out" --minutes "$minutes" --photos "${PACK:-$here/photos.pack}" "$@"
