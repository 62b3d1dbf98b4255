#!/usr/bin/env bash
# Downloads ADE20K (MIT Scene Parsing Benchmark) and converts it to records. --help says more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/recipe_lib.sh"

usage() {
  cat <<'USAGE'
usage: datasets/download_and_convert_ade20k.sh [--output_dir=DIR] [-- FLAGS]

Downloads ADEChallengeData2016.zip (0.9 GB) and writes records straight from the archive, which is
not unpacked. A second run goes on where the first one stopped and does nothing twice.

  --output_dir=DIR   where everything goes (default ./ADE20K); records in DIR/tfrecord
  -- FLAGS         flags for datasets/build_ade20k_data.py, such as --num_workers=8

ADE_URL names another place to download from; PYTHON_BIN names the interpreter (default: .venv, else python3).
USAGE
}

folder=./ADE20K
read_arguments output_dir "$@"
find_python "$here"

mkdir -p "$folder" || fail "cannot make $folder"
archive=$folder/ADEChallengeData2016.zip
download "${ADE_URL:-http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip}" \
  "$archive" sha1 "${ADE_SHA1-219e1696abb36c8ba3a3afe7fb2f4b4606a897c7}"

"$python" "$here/build_ade20k_data.py" --archive="$archive" --image_format=jpg \
  --output_dir="$folder/tfrecord" ${rest[@]+"${rest[@]}"}
