#!/usr/bin/env bash
# One experiment on a forma data set: training, evaluation, pictures, export, plot of the loss.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
  cat <<'USAGE'
usage: ./local_test_forma.sh [options] [-- FLAGS of train.py]

Trains on the records in <root>/datasets/<dataset>/tfrecord, which datasets/build_forma_data.py and
its relatives make, and puts everything into one folder,

  <root>/experiments/<date>_<description>_<host>_<user>_<dataset>/{train,eval,vis,export}

Given again with the same name, training goes on from its last checkpoint.

Data and folders
  --root=DIR             default ~/storage/shared/deeplab
  --dataset=NAME         default forma54k; forma55k, tryon10k, ..., or the path of a description
  --dataset_dir=DIR      default <root>/datasets/<dataset>/tfrecord
  --train_split=NAME     default train
  --eval_split=NAME      evaluated and drawn; default trainval, the held-out tenth
  --description=TEXT     what is special about this experiment; default <variant>-<schedule>
  --date=TEXT --host=TEXT --user=TEXT      the other parts of the folder's name; default today, here

Settings blocks
  --clones=1|4|8         one GPU (default), four or eight
  --cpu                  a tiny network for a few steps, to see that everything works

Training
  --model_variant=NAME   default xception_65
  --initial=NAME         weights to begin with: none, imagenet, coco, pascal, ade20k, cityscapes, from
                         <root>/init_models; or the path of a checkpoint or an experiment
  --epochs=N             steps = epochs * images / batch, rounded up
  --steps=N              so many steps, whatever --epochs says
  --batch_size=N         images a step, over all clones
  --schedule=poly|step   how the learning rate falls
  --learning_rate=X      at the beginning
  --decay_epochs=N       step: epochs from one decay to the next; default a third of all
  --decay_factor=X       step: factor of each decay; default 0.1
  --crop_size=H,W        crop in training
  --output_stride=N      8 or 16
  --fine_tune_batch_norm=true|false
  --augmentation=NAME    forma (default) or none
  --seed=N               makes the run repeatable

After training
  --eval_crop_size=H,W   default: the one the data set's description states; own: each picture at
                         its own size, in less memory
  --export_crop_size=H,W default: that of the evaluation; of training where that is own
  --vis_images=N         pictures to draw; default 50, 0 draws all
  --compare=DIR[,DIR]    experiments to draw beside this one
  --stages=LIST          default train,eval,vis,export,plot

  --dry_run              print the commands, run nothing
  VENV=DIR               the environment; default .venv
USAGE
}

fail() { echo "error: $*" >&2; exit 1; }
refuse() { echo "error: $*; --help lists the options" >&2; exit 2; }

# --- Settings blocks: what they set, options given beside them win. ---

settings_1() {       # one GPU of 16 GB
  batch_size=8 epochs=30 learning_rate=0.0035 crop_size=513,513 output_stride=16
}
settings_4() {       # four GPUs
  batch_size=32 epochs=50 learning_rate=0.007 crop_size=513,513 output_stride=16
}
settings_8() {       # eight GPUs
  batch_size=64 epochs=50 learning_rate=0.014 crop_size=513,513 output_stride=16
}
settings_cpu() {
  batch_size=$((2 * clones)) learning_rate=0.01 crop_size=65,65 output_stride=16 model_variant=mobilenet_v2
  initial=none vis_images=4 steps=4 eval_crop_size=own
  tiny=(--depth_multiplier=0.35 --aspp_convs_filters=32 --log_steps=1 --clone_on_cpu)
}

# Folders below init_models that hold the weights of a choice: as deeplab/zoo.py calls them, and as
# the published archive does.
initial_folders() {
  case "$model_variant:$1" in
    xception_65:imagenet) echo xception_65_imagenet xception ;;
    xception_65:coco) echo xception_65_imagenet_coco xception_65_coco_pretrained ;;
    xception_65:pascal) echo xception65_coco_voc_trainaug deeplabv3_pascal_train_aug ;;
    xception_65:ade20k) echo xception65_ade20k_train deeplabv3_xception_ade20k_train ;;
    xception_65:cityscapes) echo xception65_cityscapes_trainfine deeplabv3_cityscapes_train ;;
    xception_41:imagenet|xception_71:imagenet) echo "${model_variant}_imagenet" "$model_variant" ;;
    resnet_v1_*_beta:imagenet) echo "${model_variant}_imagenet" "${model_variant%_beta}" ;;
    mobilenet_v2:pascal) echo mobilenetv2_coco_voc_trainaug deeplabv3_mnv2_pascal_train_aug ;;
    mobilenet_v2:ade20k) echo mobilenetv2_ade20k_train deeplabv3_mnv2_ade20k_train_2018_12_03 ;;
    mobilenet_v2:cityscapes)
      echo mobilenetv2_coco_cityscapes_trainfine deeplabv3_mnv2_cityscapes_train ;;
    *) refuse "--initial=$1: no such weights of $model_variant are published; give the path of a checkpoint" ;;
  esac
}

# --- Options ---

root=~/storage/shared/deeplab
dataset=forma54k
train_split=train
eval_split=trainval
clones=1
model_variant=xception_65
initial=
schedule=poly
decay_factor=0.1
augmentation=forma
fine_tune_batch_norm=false
vis_images=50
stages=train,eval,vis,export,plot
date=$(date +%Y%m%d)
host=$(hostname -s 2>/dev/null || uname -n)
user=${USER:-$(id -un)}
dataset_dir= description= epochs= steps= decay_epochs= seed= eval_crop_size= export_crop_size= compare=
cpu=false dry_run=false
tiny=() extra=() chosen=()

for argument in "$@"; do
  shift
  case "$argument" in
    --cpu) cpu=true ;;
    --dry_run) dry_run=true ;;
    -h|--help) usage; exit 0 ;;
    --) extra=("$@"); break ;;
    --clones=1|--clones=4|--clones=8) clones=${argument#*=} ;;
    --clones=*) refuse "$argument: there are settings for 1, 4 and 8" ;;
    --schedule=poly|--schedule=step|--augmentation=forma|--augmentation=none|\
    --fine_tune_batch_norm=true|--fine_tune_batch_norm=false) chosen+=("$argument") ;;
    --schedule=*|--augmentation=*|--fine_tune_batch_norm=*) refuse "$argument: no such choice" ;;
    --steps=*|--batch_size=*|--output_stride=*|--seed=*|--vis_images=*)
      [[ ${argument#*=} =~ ^[0-9]+$ ]] || refuse "$argument: expected a whole number"
      chosen+=("$argument") ;;
    --epochs=*|--learning_rate=*|--decay_epochs=*|--decay_factor=*)
      [[ ${argument#*=} =~ ^[0-9]*\.?[0-9]+(e-?[0-9]+)?$ ]] || refuse "$argument: expected a number"
      chosen+=("$argument") ;;
    --crop_size=*|--eval_crop_size=*|--export_crop_size=*)
      [[ ${argument#*=} =~ ^[0-9]+,[0-9]+$ || $argument = --eval_crop_size=own ]] ||
        refuse "$argument: expected height,width"
      chosen+=("$argument") ;;
    --description=*|--date=*|--host=*|--user=*)
      [[ ${argument#*=} =~ ^[A-Za-z0-9._+-]+$ ]] ||
        refuse "$argument: a part of a folder's name; letters, digits and . _ + - only"
      chosen+=("$argument") ;;
    --root=*|--dataset=*|--dataset_dir=*|--train_split=*|--eval_split=*|--model_variant=*|\
    --initial=*|--compare=*|--stages=*) chosen+=("$argument") ;;
    *) refuse "unknown argument $argument" ;;
  esac
done
"settings_$clones"
[ "$cpu" = false ] || settings_cpu
for argument in ${chosen[@]+"${chosen[@]}"}; do
  name=${argument%%=*}
  printf -v "${name#--}" %s "${argument#*=}"
  # --epochs given means the number of steps follows from it, in every block.
  [ "$name" != --epochs ] || case " ${chosen[*]} " in *" --steps="*) ;; *) steps= ;; esac
done
for stage in ${stages//,/ }; do
  case $stage in train|eval|vis|export|plot) ;; *) refuse "--stages: there is no stage $stage" ;; esac
done
case $root in "~"*) root=$HOME${root#"~"} ;; esac
[ "$schedule" = step ] || case " ${chosen[*]-} " in
  *" --decay_"*) refuse "--decay_epochs and --decay_factor act with --schedule=step" ;;
esac
(( batch_size > 0 && batch_size % clones == 0 )) || refuse "--batch_size=$batch_size is no multiple of --clones=$clones"

# --- Data ---

python=${VENV:-$here/.venv}/bin/python
[ -x "$python" ] || fail "there is no $python; run scripts/setup.sh or set VENV"
facts=$("$python" "$here/scripts/dataset_facts.py" --dataset="$dataset" \
  ${dataset_dir:+--dataset_dir="$dataset_dir"} --datasets_dir="$root/datasets" \
  --split="$train_split") || exit 1
fact() { printf '%s\n' "$facts" | sed -n "s/^$1=//p"; }
name=$(fact name)
images=$(fact images)
dataset_dir=$(fact dataset_dir)

# --- Schedule ---

steps_of() { awk -v epochs="$1" -v images="$images" -v batch="$batch_size" \
  'BEGIN { steps = epochs * images / batch; print int(steps) + (steps > int(steps)) }'; }
steps=${steps:-$(steps_of "$epochs")}
[ "$steps" -gt 0 ] || refuse "--epochs=$epochs and --steps give no step at all"
rate=(--learning_policy="$schedule" --base_learning_rate="$learning_rate")
if [ "$schedule" = step ]; then
  if [ -n "$decay_epochs" ]; then decay=$(steps_of "$decay_epochs"); else decay=$(( (steps + 2) / 3 )); fi
  rate+=(--learning_rate_decay_step="$decay" --learning_rate_decay_factor="$decay_factor")
fi

# --- Network and the weights it begins with ---

network=(--model_variant="$model_variant" --output_stride="$output_stride")
case $model_variant:$output_stride in
  mobilenet*) ;;
  *:8) network+=(--atrous_rates=12,24,36 --decoder_output_stride=4) ;;
  *) network+=(--atrous_rates=6,12,18 --decoder_output_stride=4) ;;
esac
network+=(${tiny[@]+"${tiny[@]}"})

if [ -z "$initial" ]; then
  case $model_variant in xception_65|mobilenet_v2) initial=pascal ;; *) initial=imagenet ;; esac
fi
# find_weights FOLDER: the prefix of the newest checkpoint in it or below, by its number.
find_weights() {
  [ ! -d "$1" ] || find "$1" -name '*.index' | sort -V | tail -n 1 | sed 's/\.index$//'
}
weights=
start=()
case $initial in
  none) ;;
  imagenet|coco|pascal|ade20k|cityscapes)
    folders=$(initial_folders "$initial") || exit 2
    for folder in $folders; do
      [ -n "$weights" ] || weights=$(find_weights "$root/init_models/$folder")
    done
    [ -n "$weights" ] || fail "--initial=$initial: no checkpoint in $root/init_models/${folders%% *}. Put it there, with deeplab/zoo.py or by hand, or give --initial=none or a path"
    # Other classes there: everything but the last layer.
    start=(--tf_initial_checkpoint="$weights")
    case $initial in imagenet|coco) ;; *)
      start+=(--initialize_last_layer=false --last_layers_contain_logits_only=true) ;;
    esac ;;
  *)
    if [ -d "$initial/train" ]; then initial=$initial/train; fi
    if [ -d "$initial" ]; then weights=$(find_weights "$initial"); else weights=${initial%.index}; fi
    [ -f "$weights.index" ] || fail "--initial=$initial: no such checkpoint or folder of checkpoints"
    start=(--tf_initial_checkpoint="$weights")
    # Of an experiment with as many classes the last layer serves as well.
    there=$(sed -n 's/^ *"num_classes": \([0-9]*\).*/\1/p' "$(dirname "$weights")/train_config.json" 2>/dev/null || true)
    [ "$there" = "$(fact num_classes)" ] ||
      start+=(--initialize_last_layer=false --last_layers_contain_logits_only=true) ;;
esac

# --- The experiment ---

description=${description:-$model_variant-$schedule}
experiment=$root/experiments/${date}_${description}_${host}_${user}_$name
eval_crop_size=${eval_crop_size:-$(fact eval_crop)}
[ "$eval_crop_size" != own ] || eval_crop_size=
export_crop_size=${export_crop_size:-${eval_crop_size:-$crop_size}}
records=(--dataset="$dataset" --dataset_dir="$dataset_dir")

wanted() { case ",$stages," in *",$1,"*) return 0 ;; *) return 1 ;; esac; }
say() { printf '\n== %s\n' "$*"; }
run() {
  if [ "$dry_run" = true ]; then printf '%q ' "$@"; echo; else "$@"; fi
}

say "experiment $experiment"
echo "$images images in $train_split, batches of $batch_size on $clones clone(s): $steps steps"
if [ "$dry_run" = false ]; then mkdir -p "$experiment"/{train,eval,vis,export}; fi
if [ "$cpu" = true ]; then export CUDA_VISIBLE_DEVICES=; fi

if wanted train; then
  say train
  run "$python" "$here"/deeplab/train.py "${records[@]}" "${network[@]}" "${rate[@]}" ${start[@]+"${start[@]}"} \
    --train_split="$train_split" --train_logdir="$experiment/train" \
    --training_number_of_steps="$steps" --train_batch_size="$batch_size" --num_clones="$clones" \
    --train_crop_size="$crop_size" --augmentation="$augmentation" \
    --fine_tune_batch_norm="$fine_tune_batch_norm" ${seed:+--seed="$seed"} \
    --metrics_jsonl="$experiment/train/metrics.jsonl" ${extra[@]+"${extra[@]}"}
fi
if wanted eval; then
  say evaluate
  run "$python" "$here"/deeplab/eval.py "${records[@]}" --eval_split="$eval_split" \
    --checkpoint_dir="$experiment/train" --eval_logdir="$experiment/eval" \
    --eval_crop_size="$eval_crop_size"
fi
if wanted vis; then
  say draw
  run "$python" "$here"/deeplab/vis.py "${records[@]}" --vis_split="$eval_split" \
    --checkpoint_dir="$experiment/train" --vis_logdir="$experiment/vis" \
    --vis_crop_size="$eval_crop_size" --max_number_of_images="$vis_images" --gallery
fi
if wanted export; then
  say export
  run "$python" "$here"/deeplab/export_model.py --checkpoint_path="$experiment/train" \
    --export_path="$experiment/export/frozen_inference_graph.pb" --crop_size="$export_crop_size" \
    --output_stride="$output_stride"
fi
if wanted plot; then
  say plot
  run "$python" "$here"/scripts/plot_runs.py --runs="$experiment${compare:+,$compare}" \
    --output="$experiment/runs.png"
fi
