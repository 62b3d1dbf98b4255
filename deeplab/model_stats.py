r"""Tells what a network costs: multiply-adds, float operations, memory, parameters, checkpoints.

    python deeplab/model_stats.py --model_variant=xception_65 --output_stride=16 \
        --atrous_rates=6,12,18 --decoder_output_stride=4 --crop_size=513,513
    python deeplab/model_stats.py --model_zoo_row=mobilenetv2_coco_voc_trainaug
    python deeplab/model_stats.py --all

Nothing is run: graphs are built and read, some seconds each. --all prints every row of the
published model zoo beside the published figure; it takes one or two minutes.
"""
import json

from absl import flags
import tabulate

from deeplab import cli
from deeplab import common
from deeplab import errors
from deeplab import model_zoo
from deeplab import names
from deeplab.core import utils
from deeplab.datasets import descriptions
from deeplab.evaluation import network_cost

FLAGS = flags.FLAGS
_NETWORK_FLAGS = set(names.ModelOptions._fields) | set(names.default_nas_options()) | {
    'dense_prediction_cell_json', 'image_pyramid', 'eval_scales', 'add_flipped_images',
    'num_classes'}
_BILLION = 1e9
# What the published Multiply-Adds of a zoo row seem to count -> that, from our counts.
_PUBLISHED_COUNTS = {
    'multiply_adds': lambda cost: cost.multiply_adds,
    'with_batch_norm': lambda cost: cost.multiply_adds + 2 * cost.batch_norm_elements,
    'evaluation_float_operations': lambda cost: (cost.float_operations
                                                 + cost.evaluation_float_operations),
}


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_string('model_zoo_row', None, 'Name of a row of the published model zoo, in place '
                        'of the flags of a network.')
    flags.DEFINE_bool('all', False, 'Print all rows of the model zoo beside the published figures.')
    flags.DEFINE_bool('json', False, 'Print JSON.')
    flags.DEFINE_integer('num_classes', 21, 'Number of classes.', lower_bound=1)
    cli.define_list('crop_size', [513, 513], "Height and width of the network's input.",
                    item_type=int, length=2)
    cli.define_list('atrous_rates', None, 'Atrous rates of ASPP.', item_type=int)
    flags.DEFINE_integer('output_stride', 16, 'Ratio of input to feature resolution.')
    cli.define_list('eval_scales', [1.0], 'Scales of the input; their costs are added.',
                    item_type=float)
    flags.DEFINE_bool('add_flipped_images', False, 'Also mirrored left to right: twice the cost.')


def _deviation(ours, published):
    return None if published is None else 100 * (ours / (published * _BILLION) - 1)


def _record(cost, **about):
    """Returns the plain dict that is printed for one network at one setting."""
    sizes = cost.variables
    return dict(
        about, multiply_adds=cost.multiply_adds, float_operations=cost.float_operations,
        batch_norm_elements=cost.batch_norm_elements, parameters=sizes.parameters,
        variables=sizes.count, variable_elements=sizes.elements,
        activation_bytes=cost.memory.total, peak_activation_bytes=cost.memory.peak,
        checkpoint_bytes=sizes.checkpoint_bytes,
        training_checkpoint_bytes=sizes.training_checkpoint_bytes)


def zoo_records(row: dict, known=None) -> list:
    """Returns what is printed for a row of the model zoo: a dict for each of its evaluations.

    A row that is only a backbone gives one dict, of its classifier. Beside the counts, a dict holds
    'published_multiply_adds_billion', 'deviation_percent' of our multiply-adds from it, and
    'counted_as_published', 'deviation_as_published_percent': of the count that the published figure
    is nearest to (`published_counts` of the row).
    """
    about = dict(name=row['name'], model_variant=row['flags']['model_variant'],
                 crop_size=row['input_size'])
    if not row['evaluations']:
        cost = network_cost.classifier_cost(about['model_variant'], row['input_size'],
                                            row['num_classes'])
        return [_record(cost, output_stride=network_cost.CLASSIFIER_STRIDE, scales=[1.0],
                        flip=False, published_multiply_adds_billion=None, **about)]
    records = []
    num_classes = descriptions.load(row['dataset']).num_classes
    kind = row['published_counts']
    for evaluation in row['evaluations']:
        options = model_zoo.model_options(row, evaluation, num_classes)
        common.validate_model_options(options)
        cost = network_cost.multi_scale_cost(options, evaluation['scales'], evaluation['flip'],
                                kind == 'evaluation_float_operations', known)
        published = evaluation['multiply_adds_billion']
        counted = _PUBLISHED_COUNTS[kind](cost)
        records.append(_record(
            cost, output_stride=evaluation['output_stride'], scales=evaluation['scales'],
            flip=evaluation['flip'], miou_percent=evaluation['miou_percent'],
            published_multiply_adds_billion=published,
            deviation_percent=_deviation(cost.multiply_adds, published), published_counts=kind,
            counted_as_published=counted,
            deviation_as_published_percent=_deviation(counted, published), **about))
    return records


def _table(records):
    """Returns all rows as a table, counts in billions."""
    def cells(record):
        kind = record.get('published_counts')
        otherwise = ([kind.replace('_', ' '), record['counted_as_published'] / _BILLION,
                      record['deviation_as_published_percent']]
                     if kind not in (None, 'multiply_adds') else [None] * 3)
        return [record['name'], '{}x{}'.format(*record['crop_size']), record['output_stride'],
                model_zoo.scales_text(record['scales'], record['flip']),
                record['published_multiply_adds_billion'],
                record['multiply_adds'] / _BILLION, record.get('deviation_percent'),
                record['float_operations'] / _BILLION] + otherwise + [
                    record['parameters'] / 1e6, record['checkpoint_bytes'] / 1e6,
                    record['peak_activation_bytes'] / 1e6]

    headers = ['row', 'crop', 'stride', 'scales', 'published G', 'multiply-adds G', 'off %',
               'float ops G', 'nearer to published', 'which is G', 'off %', 'parameters M',
               'checkpoint MB', 'peak MB']
    formats = ['g'] * 4 + ['.2f', '.3f', '+.2f', '.3f', '', '.3f', '+.2f', '.2f', '.1f', '.1f']
    return tabulate.tabulate([cells(record) for record in records], headers, floatfmt=formats)


def _page(record):
    """Returns one network as lines of name and value."""
    lines = [
        ('network', '{} at output stride {}, {}x{}, scales {}'.format(
            record['model_variant'], record['output_stride'], record['crop_size'][0],
            record['crop_size'][1], model_zoo.scales_text(record['scales'], record['flip']))),
        ('multiply-adds of convolutions', '{:.3f} G'.format(record['multiply_adds'] / _BILLION)),
        ('float operations (profiler)', '{:.3f} G'.format(record['float_operations'] / _BILLION)),
        ('parameters (trainable)', '{:,}'.format(record['parameters'])),
        ('variables', '{} with {:,} elements'.format(record['variables'],
                                                     record['variable_elements'])),
        ('activations, all together', '{:.1f} MB'.format(record['activation_bytes'] / 1e6)),
        ('activations, most at once', '{:.1f} MB'.format(record['peak_activation_bytes'] / 1e6)),
        ('checkpoint', '{:.1f} MB; in training, with momentum, {:.1f} MB'.format(
            record['checkpoint_bytes'] / 1e6, record['training_checkpoint_bytes'] / 1e6)),
    ]
    if record.get('published_multiply_adds_billion') is not None:
        lines.insert(3, ('published', '{:g} G: multiply-adds are {:+.2f} % off'.format(
            record['published_multiply_adds_billion'], record['deviation_percent'])))
        if record['published_counts'] != 'multiply_adds':
            lines.insert(4, ('  nearest to it', '{}: {:.3f} G, {:+.2f} % off'.format(
                record['published_counts'].replace('_', ' '),
                record['counted_as_published'] / _BILLION,
                record['deviation_as_published_percent'])))
    if 'name' in record:
        lines.insert(0, ('model zoo', record['name']))
    width = max(len(name) for name, _ in lines)
    return '\n'.join('{:<{}}  {}'.format(name, width, value) for name, value in lines)


def _record_from_flags():
    scales = FLAGS.eval_scales or [1.0]
    if any(scale <= 0 for scale in scales):
        raise errors.UserError('--eval_scales={}: scales must be above 0.'.format(
            ','.join(map(str, scales))))
    crop = FLAGS.crop_size or [513, 513]
    if min(crop) < 1 or min(utils.scale_dimension(side, min(scales)) for side in crop) < 1:
        raise errors.UserError('--crop_size={},{}: sides must be 1 or more at every scale.'.format(
            *crop))
    options = common.model_options_from_flags(
        {common.OUTPUT_TYPE: FLAGS.num_classes}, crop_size=crop, atrous_rates=FLAGS.atrous_rates,
        output_stride=FLAGS.output_stride)
    if FLAGS.image_pyramid and cli.given('eval_scales'):
        raise errors.UserError('--image_pyramid and --eval_scales: give one of the two.')
    if FLAGS.image_pyramid:
        cost = network_cost.added_up([network_cost.segmentation_cost(options, FLAGS.image_pyramid)],
                        2 if FLAGS.add_flipped_images else 1)
        scales = FLAGS.image_pyramid
    else:
        cost = network_cost.multi_scale_cost(options, scales, FLAGS.add_flipped_images)
    return _record(cost, model_variant=options.model_variant, crop_size=crop, scales=scales,
                   output_stride=options.output_stride, flip=FLAGS.add_flipped_images)


def _check_no_network_flags():
    given = sorted(name for name in _NETWORK_FLAGS if name in FLAGS and cli.given(name))
    if given:
        raise errors.UserError('--{} with --{}: the rows of the model zoo say what network it is. '
                               'Leave one of the two away.'.format(
                                   given[0], 'all' if FLAGS.all else 'model_zoo_row'))


def main(_):
    if FLAGS.all and FLAGS.model_zoo_row:
        raise errors.UserError('--all and --model_zoo_row: give one of the two.')
    if FLAGS.all or FLAGS.model_zoo_row:
        _check_no_network_flags()
        rows = model_zoo.load_rows() if FLAGS.all else [model_zoo.find_row(FLAGS.model_zoo_row)]
        known = {}
        records = [record for row in rows for record in zoo_records(row, known)]
    else:
        records = [_record_from_flags()]
    if FLAGS.json:
        print(json.dumps(records, indent=2, sort_keys=True))
    else:
        print(_table(records) if FLAGS.all else '\n\n'.join(map(_page, records)))


def entry():
    """Runs the command (console script deeplab-model-stats)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
