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

root=./cityscapes
while [ $# -gt 0 ]; do
  case "$1" in
    --cityscapes_root=*) root=${1#*=} ;;
    -h|--help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; fail "unknown argument $1" ;;
  esac
  shift
done
find_python "$here"

[ -d "$root" ] || fail "--cityscapes_root=$root: there is no such folder"
for archive in "$root"/leftImg8bit_*.zip "$root"/gtFine_*.zip "$root"/gtCoarse*.zip; do
  [ ! -f "$archive" ] || unpack "$archive" "$root"
done
[ -d "$root/leftImg8bit" ] || fail "$root holds neither leftImg8bit nor leftImg8bit_trainvaltest.zip. Download it from https://www.cityscapes-dataset.com (an account is needed)."

"$python" "$here/build_cityscapes_data.py" --cityscapes_root="$root" \
  --output_dir="$root/tfrecord" "$@"
