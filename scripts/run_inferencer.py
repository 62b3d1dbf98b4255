r"""Segments the pictures of a list, with the flags of tf-deeplabv3.

    python scripts/run_inferencer.py --filenames=list.txt --load_ckpt_path=runs/a --output_path=out

list.txt names a picture a line. Written are <name>_prediction.png: palette PNGs, colours to look at
and labels to read. Of a checkpoint of run_trainer.py the network's flags are known; of another give
them. deeplab/predict.py has overlays, probabilities, scales, tiles and frozen graphs.
"""
import contextlib

from absl import flags

from deeplab import cli
from deeplab.evaluation import checkpoint_source
from deeplab.evaluation import inference
from deeplab.evaluation import inputs
from deeplab.evaluation import predict_job
from deeplab.evaluation import predictors
from deeplab.utils import checkpoints
from deeplab.utils import get_dataset_colormap
from deeplab.utils import image_files

import tf_deeplabv3

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    cli.define_list('filenames', None, 'Lists of pictures (.txt, a path a line), or pictures.')
    flags.DEFINE_string('load_ckpt_path', None, 'Checkpoint: its prefix, a folder for the newest '
                        'in it, or an archive.')
    flags.DEFINE_string('output_path', None, 'Folder for the predictions.')
    tf_deeplabv3.define_network_flags()
    flags.mark_flags_as_required(['filenames', 'load_ckpt_path', 'output_path'])


def main(_):
    with tf_deeplabv3.their_names(), checkpoint_source.unpacked(
            FLAGS.load_ckpt_path, 'load_ckpt_path') as path:
        pictures = inputs.find(FLAGS.filenames)
        prefix = checkpoints.find_checkpoint(path, flag='load_ckpt_path')
        data = (tf_deeplabv3.follow(prefix) or {}).get('data', {})
        image_files.make_folder(FLAGS.output_path, '--output_path')
        options = predict_job.PredictOptions(
            output_dir=FLAGS.output_path, class_names=data.get('class_names') or (),
            colormap=data.get('colormap') or get_dataset_colormap.get_pascal_name(),
            overlays=False, probabilities=False)
        with contextlib.closing(predictors.CheckpointPredictor(
                prefix, tf_deeplabv3.model_options(), inference.InferenceOptions())) as predictor:
            predict_job.run(predictor, pictures, options)


def entry():
    """Runs the command."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
