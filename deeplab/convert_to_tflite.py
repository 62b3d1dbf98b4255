r"""Converts a frozen graph to TFLite, 8-bit where it was trained quantised, and compares the two.

    python deeplab/convert_to_tflite.py --quantized_graph_def_path=frozen_inference_graph.pb \
        --output_tflite_path=model.tflite --test_image_path=photo.jpg

For graphs of quantisation-aware training; export_model.py --export_formats=tflite makes TFLite
models from checkpoints, in float32, float16 and int8.
"""
from absl import flags

from deeplab import cli
from deeplab import errors
from deeplab.export import frozen_graph
from deeplab.export import network
from deeplab.export import tflite_graph
from deeplab.utils import frozen_graphs
from deeplab.utils import image_files

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('quantized_graph_def_path', None, 'Frozen quantised graph to read.')
    flags.DEFINE_string('output_tflite_path', None, 'TFLite file to write.')
    flags.DEFINE_string('input_tensor_name', None, 'Tensor that becomes the input, of known shape. '
                        'When not given: {}:0, the picture padded to the crop.'.format(
                            network.PADDED_IMAGE))
    flags.DEFINE_string('output_tensor_name', 'ArgMax:0', 'Tensor that becomes the output.')
    flags.DEFINE_string('test_image_path', None, 'Picture on which graph and TFLite outputs are '
                        'compared.')
    cli.define_list('input_stats', None, 'mean,std: values of the input tensor are (pixel - mean) '
                    '/ std. When not given: 0,1 for the padded picture, else 127.5,127.5.',
                    item_type=float, length=2)
    flags.mark_flags_as_required(['quantized_graph_def_path', 'output_tflite_path'])


def main(_):
    image = image_files.read_image(FLAGS.test_image_path) if FLAGS.test_image_path else None
    graph_def = frozen_graphs.read(
        FLAGS.quantized_graph_def_path,
        '--quantized_graph_def_path={}'.format(FLAGS.quantized_graph_def_path))
    name = FLAGS.input_tensor_name or network.PADDED_IMAGE + ':0'
    is_padded = name.split(':')[0] == network.PADDED_IMAGE
    stats = FLAGS.input_stats or ([0.0, 1.0] if is_padded else [127.5, 127.5])
    if stats[1] <= 0:
        raise errors.UserError('--input_stats={},{}: the second number must be above 0.'.format(
            *stats))
    part = tflite_graph.Part(graph_def, name, FLAGS.output_tensor_name, stats)
    content = part.convert()
    frozen_graph.write_whole(FLAGS.output_tflite_path, content)
    print('wrote {}: {:.1f} MB, {}, input {} x {}'.format(
        FLAGS.output_tflite_path, len(content) / 1e6,
        '8 bits' if part.is_quantized else 'float32 (the graph is not quantised)', *part.size))
    if image is not None:
        matching, pixels = part.matching_pixels(FLAGS.output_tflite_path, image)
        print('matching pixels: {} of {} ({:.2%})'.format(matching, pixels, matching / pixels))


def entry():
    """Runs the command (console script deeplab-convert-to-tflite)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
