#!/usr/bin/env bash
# Converts Cityscapes to records. --help says more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/recipe_lib.sh"

usage() {
  cat <<'USAGE'
usage: datasets/convert_cityscapes.sh [--cityscapes_root=DIR] [-- FLAGS]

Writes records of Cityscapes. The data set needs an account at https://www.cityscapes-dataset.com,
so download it by hand and put the archives, or what is in them, into DIR:

  leftImg8bit_trainvaltest.zip   images
  gtFine_trainvaltest.zip        fine annotations
  leftImg8bit_trainextra.zip, gtCoarse.zip   only for the coarse splits

  --cityscapes_root=DIR   the folder (default ./cityscapes); records go to DIR/tfrecord
  -- FLAGS                flags for datasets/build_cityscapes_data.py, such as
                          --splits=train_fine,val_fine,trainval_fine,test_fine

Archives are unpacked once. The trainIds are made on the way; no other script is needed.
PYTHON_BIN names the interpreter (default: .venv, else python3).
USAGE
}

folder=./cityscapes
read_arguments cityscapes_root "$@"
find_python "$here"

[ -d "$folder" ] || fail "--cityscapes_root=$folder: there is no such folder"
for archive in "$folder"/leftImg8bit_*.zip "$folder"/gtFine_*.zip "$folder"/gtCoarse*.zip; do
  [ ! -f "$archive" ] || unpack "$archive" "$folder"
done
[ -d "$folder/leftImg8bit" ] || fail "$folder holds neither leftImg8bit nor leftImg8bit_trainvaltest.zip. Download it from https://www.cityscapes-dataset.com (an account is needed)."

"$python" "$here/build_cityscapes_data.py" --cityscapes_root="$folder" \
  --output_dir="$folder/tfrecord" ${rest[@]+"${rest[@]}"}
