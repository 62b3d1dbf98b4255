#!/usr/bin/env bash
# Downloads PASCAL VOC 2012 and converts it to records. --help says more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/recipe_lib.sh"

usage() {
  cat <<'USAGE'
usage: datasets/download_and_convert_voc2012.sh [--output_dir=DIR] [--with_sbd] [-- FLAGS]

Downloads PASCAL VOC 2012 (2 GB), unpacks it and writes records. A second run goes on where the
first one stopped and does nothing twice.

  --output_dir=DIR   where everything goes (default ./pascal_voc_seg):
                     DIR/VOCdevkit/VOC2012/...   the data set
                     DIR/tfrecord                records of train, val, trainval (train_aug)
  --with_sbd       also download the labels of Hariharan et al. (1.4 GB) for the split train_aug;
                   needs the Python package scipy
  -- FLAGS         flags for datasets/build_voc2012_data.py, such as --num_workers=8

VOC_URL and SBD_URL name other places to download from; PYTHON_BIN names the interpreter (default: .venv, else python3).
USAGE
}

folder=./pascal_voc_seg
with_sbd=no
extra_argument() { [ "$1" = --with_sbd ] && with_sbd=yes; }
read_arguments output_dir "$@"
find_python "$here"

mkdir -p "$folder" || fail "cannot make $folder"
voc=$folder/VOCdevkit/VOC2012
download "${VOC_URL:-http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar}" \
  "$folder/VOCtrainval_11-May-2012.tar" md5 "${VOC_MD5-6cd6e144f989b92b3379bac3b3de84fd}"
unpack "$folder/VOCtrainval_11-May-2012.tar" "$folder"

labels=$voc/SegmentationClass
if [ "$with_sbd" = yes ]; then
  download "${SBD_URL:-https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz}" \
    "$folder/benchmark.tgz" md5 "${SBD_MD5-82b4d87ceb2ed10f6038a1cba92111cb}"
  unpack "$folder/benchmark.tgz" "$folder"
  "$python" "$here/merge_sbd_labels.py" --voc_folder="$voc" \
    --sbd_folder="$folder/benchmark_RELEASE/dataset"
  labels=$voc/SegmentationClassAug
fi

"$python" "$here/build_voc2012_data.py" \
  --image_folder="$voc/JPEGImages" \
  --semantic_segmentation_folder="$labels" \
  --list_folder="$voc/ImageSets/Segmentation" \
  --image_format=jpg \
  --output_dir="$folder/tfrecord" ${rest[@]+"${rest[@]}"}
