#!/usr/bin/env bash
# The whole job from end to end: set-up, data, training, evaluation, pictures, export, prediction.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'USAGE'
usage: ./local_test.sh [options]

Trains a small network on drawn scenes from random weights, and shows what it learnt. Nothing is
downloaded but Python packages.

  --dataset=scenes   (default) a few hundred drawn scenes, made on the spot
  --dataset=pascal   PASCAL VOC 2012: downloads 2 GB and a trained MobileNetV2, then trains 10
                     steps, evaluates, draws, exports: the classic check of a DeepLab installation
  --workdir=DIR      where everything goes (default local_test/<dataset>)
  --clean            delete that folder first
  --steps=N          training steps
  --seed=N           seed of the training (default 1)
  PYTHON=...         interpreter for the environment; see scripts/setup.sh --help
  VENV=DIR           an environment that is set up already or to be (default .venv)

Running it again goes on where it stopped: data that are there are kept, training resumes from its
last checkpoint (and does nothing when all steps are done), the rest is made anew. --clean starts
from nothing.
USAGE
}

dataset=scenes
workdir=
steps=
seed=1
clean=false
for argument in "$@"; do
  case "$argument" in
    --dataset=scenes|--dataset=pascal) dataset=${argument#*=} ;;
    --dataset=*) echo "error: $argument: known are scenes and pascal" >&2; exit 2 ;;
    --workdir=*) workdir=${argument#*=} ;;
    --steps=*) steps=${argument#*=} ;;
    --seed=*) seed=${argument#*=} ;;
    --clean) clean=true ;;
    -h|--help) usage; exit 0 ;;
    *) echo "error: unknown argument $argument" >&2; usage >&2; exit 2 ;;
  esac
done
workdir=${workdir:-local_test/$dataset}
[ "$clean" = false ] || rm -rf "$workdir"
mkdir -p "$workdir"

say() { printf '\n== %s\n' "$*"; }

venv=${VENV:-.venv}
say "1/7 set-up"
scripts/setup.sh --venv="$venv"
python="$venv/bin/python"

train_dir=$workdir/train
eval_dir=$workdir/eval
vis_dir=$workdir/vis
graph=$workdir/export/frozen_inference_graph.pb
predictions=$workdir/predictions

if [ "$dataset" = scenes ]; then
  steps=${steps:-500}
  scenes=$workdir/scenes
  data=$workdir/tfrecord
  size=97,129
  say "2/7 data: drawn scenes"
  [ -f "$scenes/val.txt" ] || $python datasets/make_sample_scenes.py --output_dir="$scenes"
  [ -f "$data/dataset.json" ] || $python datasets/build_folder_data.py --dataset=sample_scenes \
    --image_folder="$scenes/images" --label_folder="$scenes/labels" --list_folder="$scenes" \
    --output_dir="$data"
  photographs=$scenes/images
  splits=(--dataset=sample_scenes --dataset_dir="$data")
  # So short a training needs fast moving averages; pooling over all of so small a picture
  # teaches nothing.
  train_flags=(--model_variant=mobilenet_v2 --output_stride=16 --add_image_level_feature=false
    --decoder_output_stride=4 --aspp_convs_filters=128 --decoder_filters=128
    --train_crop_size="$size" --train_batch_size=8 --min_scale_factor=1 --max_scale_factor=1
    --base_learning_rate=0.05 --batch_norm_decay=0.95)
  train_split=train
  eval_size=$size
  crop=(--crop_size="$size")
  vis_flags=(--max_number_of_images=24)
else
  steps=${steps:-10}
  root=$workdir/pascal_voc_seg
  data=$root/tfrecord
  say "2/7 data: PASCAL VOC 2012"
  [ -f "$data/dataset.json" ] || PYTHON_BIN=$python datasets/download_and_convert_voc2012.sh --output_dir="$root"
  initial=$workdir/init_models/deeplabv3_mnv2_pascal_train_aug
  if [ ! -f "$initial/model.ckpt-30000.index" ]; then
    mkdir -p "$workdir/init_models"
    archive=$workdir/init_models/deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz
    curl -fL --continue-at - -o "$archive" \
      http://download.tensorflow.org/models/deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz || {
        echo "error: the trained MobileNetV2 could not be downloaded; try again later, or unpack it into $initial" >&2
        exit 1
      }
    tar -xzf "$archive" -C "$workdir/init_models"
  fi
  photographs=$root/VOCdevkit/VOC2012/JPEGImages
  splits=(--dataset=pascal_voc_seg --dataset_dir="$data")
  train_flags=(--model_variant=mobilenet_v2 --output_stride=16 --train_crop_size=513,513
    --train_batch_size=4 --tf_initial_checkpoint="$initial/model.ckpt-30000"
    --fine_tune_batch_norm=false)
  train_split=trainval
  eval_size=513,513
  crop=(--crop_size=513,513)
  vis_flags=(--max_number_of_images=24)
fi

say "3/7 train: $steps steps"
$python deeplab/train.py "${splits[@]}" "${train_flags[@]}" --train_split=$train_split \
  --train_logdir="$train_dir" --training_number_of_steps="$steps" --seed="$seed"

say "4/7 evaluate"
$python deeplab/eval.py "${splits[@]}" --eval_split=val --checkpoint_dir="$train_dir" \
  --eval_logdir="$eval_dir" --eval_crop_size="$eval_size"

say "5/7 draw"
$python deeplab/vis.py "${splits[@]}" --vis_split=val --checkpoint_dir="$train_dir" \
  --vis_logdir="$vis_dir" --vis_crop_size="$eval_size" "${vis_flags[@]}"

say "6/7 export"
$python deeplab/export_model.py --checkpoint_path="$train_dir" --export_path="$graph" "${crop[@]}"

say "7/7 predict from the exported graph"
list=$workdir/predict.txt
ls "$photographs"/*.jpg | tail -n 8 > "$list"
$python deeplab/predict.py --frozen_graph="$graph" --dataset="${splits[0]#--dataset=}" \
  --input="$list" --output_dir="$predictions"

say "summary"
$python scripts/summarize_run.py --train_logdir="$train_dir" --eval_logdir="$eval_dir"
echo "pictures:     $vis_dir"
echo "predictions:  $predictions"
echo "frozen graph: $graph"
