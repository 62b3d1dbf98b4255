r"""The published models: lists them, downloads them, holds them to their published figures.

    python deeplab/zoo.py
    python deeplab/zoo.py --show=mobilenetv2_coco_voc_trainaug
    python deeplab/zoo.py --download=mobilenetv2_coco_voc_trainaug
    python deeplab/zoo.py --evaluate=mobilenetv2_coco_voc_trainaug \
        --dataset_dir=data/pascal_voc_seg/tfrecord

A download that was cut short goes on where it stopped. Without a network, name an archive (or
folder) at hand:

    python deeplab/zoo.py --evaluate=mobilenetv2_coco_voc_trainaug \
        --dataset_dir=data/pascal_voc_seg/tfrecord \
        --archive=deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz
"""
import contextlib
import json
import sys

from absl import flags
import tabulate

from deeplab import cli
from deeplab import common
from deeplab import errors
from deeplab import model_zoo
from deeplab import model_zoo_files
from deeplab import model_zoo_page
from deeplab import names
from deeplab import prediction
from deeplab.datasets import descriptions
from deeplab.evaluation import inference
from deeplab.evaluation import job
from deeplab.evaluation import results
from deeplab.evaluation import split_prediction
from deeplab.utils import checkpoints
from deeplab.utils import image_files

FLAGS = flags.FLAGS
_ACTIONS = ('list', 'show', 'download', 'evaluate', 'write_markdown')
# Published figures are given with two digits of a per cent; decoders of JPEG differ by more.
_CLOSE_POINTS = 0.1


def define_flags():
    """Defines the flags of this command."""
    flags.DEFINE_bool('list', False, 'Print all rows: what is done when nothing else is asked for.')
    flags.DEFINE_string('show', None, 'Print this row with the flags that use it.')
    flags.DEFINE_string('download', None, 'Download and unpack this row.')
    flags.DEFINE_string('evaluate', None, 'Evaluate this row beside its published figures; '
                        'downloads it first where it is not here.')
    flags.DEFINE_string('write_markdown', None, 'Write the page of the zoo to this file.')
    flags.DEFINE_bool('json', False, 'Print JSON (of the list, of a row, of a download, of an '
                      'evaluation).')
    flags.DEFINE_string('models_dir', 'models', 'Folder of the downloaded models, one folder each.')
    flags.DEFINE_string('archive', None, 'Archive at hand, in place of a download; for --evaluate '
                        'also its folder once unpacked, or a checkpoint.')
    flags.DEFINE_string('mirror', None, 'Address of a folder that holds the archives, in place of '
                        'the published one.')
    flags.DEFINE_bool('keep_archive', False, 'Keep a downloaded archive beside its folder.')
    flags.DEFINE_string('dataset_dir', None, 'For --evaluate: folder of the TFRecords.')
    flags.DEFINE_string('dataset', None, "For --evaluate: data set. When not given: the row's.")
    flags.DEFINE_string('eval_split', None, 'For --evaluate: split. When not given: the published '
                        'one; val where that is the test split.')
    flags.DEFINE_integer('setting', 1, "For --evaluate: which of the row's published evaluations; "
                         '0 for all.', lower_bound=0)
    flags.DEFINE_string('eval_logdir', None, 'For --evaluate: folder to write the results to, as '
                        'deeplab-eval does.')


def _action():
    """Returns the (name, value) of what is asked for."""
    given = [(name, getattr(FLAGS, name)) for name in _ACTIONS if getattr(FLAGS, name)]
    if len(given) > 1:
        raise errors.UserError('--{} and --{}: give one of the two.'.format(
            given[0][0], given[1][0]))
    return given[0] if given else ('list', True)


def _json(content):
    print(json.dumps(content, indent=2, sort_keys=True))


def _list():
    rows = model_zoo.load_rows()
    if FLAGS.json:
        _json(rows)
        return
    print(model_zoo_page.table(
        rows, lambda row: model_zoo_files.is_here(row, FLAGS.models_dir)))
    print('\nacc.: pixel accuracy; G m-adds: billions of multiply-adds; MB: of the archive; here: '
          'unpacked in {}.\n--show=ROW tells the flags that build it, --download=ROW gets it.'
          .format(FLAGS.models_dir))


def _show(name):
    row = model_zoo.find_row(name, 'show')
    if FLAGS.json:
        _json(row)
    else:
        print(model_zoo_page.details(row))


def _obtain(row, archive=None):
    # Standard output is for what was asked for: a table, JSON.
    return model_zoo_files.obtain(row, FLAGS.models_dir, archive, FLAGS.mirror,
                                  FLAGS.keep_archive,
                                  echo=lambda line: print(line, file=sys.stderr))


def _download(name):
    row = model_zoo.find_row(name, 'download')
    model = _obtain(row, FLAGS.archive)
    if FLAGS.json:
        _json(dict(model._asdict(), row=row['name']))
        return
    print('\n'.join(['{} is in {}'.format(row['name'], model.folder),
                     '  checkpoint    {}'.format(model.checkpoint or 'none'),
                     '  frozen graph  {}'.format(model.frozen_graph or 'none'), '',
                     model_zoo_page.details(row, model.checkpoint)]))


def _settings(row):
    """Returns the evaluations of a row that are asked for."""
    if not row['evaluations']:
        raise errors.UserError('--evaluate={}: a backbone to train from, published without figures '
                               'of segmentation.'.format(row['name']))
    if FLAGS.setting > len(row['evaluations']):
        raise errors.UserError('--setting={}: {} has {} published evaluation{}.'.format(
            FLAGS.setting, row['name'], len(row['evaluations']),
            's' if len(row['evaluations']) > 1 else ''))
    return row['evaluations'][FLAGS.setting - 1:FLAGS.setting or None] if (
        FLAGS.setting) else row['evaluations']


def _evaluate_setting(row, evaluation, prefix, split):
    """Returns the report of `job.Evaluator.evaluate` of one of a row's evaluations."""
    dataset = FLAGS.dataset or row['dataset']
    description = descriptions.load(dataset, FLAGS.dataset_dir)
    side = row.get('longest_side')
    options = inference.InferenceOptions(
        eval_scales=tuple(evaluation['scales']), add_flipped_images=evaluation['flip'],
        resize_range=prediction.ResizeRange(side, side, None))
    crop = split_prediction.choose_crop(
        dataset, split, FLAGS.dataset_dir, model_zoo.eval_crop_size(row), False, 1,
        options.resize_range, 'eval_crop_size', evaluation['output_stride'])
    model_options = model_zoo.model_options(row, evaluation, description.num_classes)
    common.validate_model_options(model_options)
    return job.Evaluator(
        job.Split(dataset, split, FLAGS.dataset_dir, 1, crop),
        model_options._replace(crop_size=crop.crop_size), options).evaluate(prefix)


def _compared(row, evaluation, report):
    """Returns the figures of one evaluation, published and measured, in per cent."""
    figures = []
    for title, key, measured in (('mIoU', 'miou_percent', 'mean_iou'),
                                 ('pixel accuracy', 'pixel_accuracy_percent', 'pixel_accuracy')):
        published = evaluation.get(key)
        value = 100 * report[measured]
        figures.append({'figure': title, 'published': published, 'measured': round(value, 3),
                        'difference': None if published is None else round(value - published, 3)})
    return {'row': row['name'], 'output_stride': evaluation['output_stride'],
            'scales': evaluation['scales'], 'flip': evaluation['flip'],
            'published_split': evaluation['split'], 'split': report['split'],
            'images': report['images'], 'figures': figures,
            'remarks': _remarks(row, evaluation, report, figures[0]['difference'])}


def _remarks(row, evaluation, report, difference):
    """Returns what has to be known to read the difference, one sentence each."""
    remarks = []
    if report['split'] != evaluation['split']:
        remarks.append('Published for {}, measured on {}: not the same pictures.'.format(
            evaluation['split'], report['split']))
        if evaluation['split'] == names.TEST_SET and 'trainval' in row['name']:
            remarks.append('The model was trained on these pictures too: the measured figure says '
                           'that the weights work, not how well.')
    whole = descriptions.load(row['dataset']).splits_to_sizes.get(report['split'])
    if whole and report['images'] != whole:
        remarks.append('{:,} of the {:,} images of {}: the figures are not comparable.'.format(
            report['images'], whole, report['split']))
    if not remarks:
        remarks.append('Reached.' if abs(difference) <= _CLOSE_POINTS else
                       'More than {:g} points off the published figure.'.format(_CLOSE_POINTS))
    return remarks


def _format_comparison(compared):
    def text(value, form):
        return '-' if value is None else format(value, form)

    table = tabulate.tabulate(
        [[figure['figure'] + ' %', text(figure['published'], '.2f'),
          text(figure['measured'], '.2f'), text(figure['difference'], '+.2f')]
         for figure in compared['figures']], ['', 'published', 'measured', 'difference'],
        disable_numparse=True, colalign=('left',) + ('right',) * 3)
    return '\n'.join(['', '{} at output stride {}, scales {}, {} ({:,} images)'.format(
        compared['row'], compared['output_stride'],
        model_zoo.scales_text(compared['scales'], compared['flip']), compared['split'],
        compared['images']), '', table, ''] + compared['remarks'])


def _evaluate(name):
    row = model_zoo.find_row(name, 'evaluate')
    settings = _settings(row)
    if not FLAGS.dataset_dir:
        raise errors.UserError('--evaluate={}: --dataset_dir must name the folder of the TFRecords '
                               'of {}.'.format(name, row['dataset']))
    if FLAGS.eval_logdir:
        image_files.make_folder(FLAGS.eval_logdir, '--eval_logdir')
    _check_data(row, settings)
    done = []
    with _model_to_evaluate(row) as model:
        if not model.checkpoint:
            raise errors.UserError('{}: holds a frozen graph only, no checkpoint to evaluate.'
                                   .format(FLAGS.archive or model.folder))
        for evaluation in settings:
            try:
                report = _evaluate_setting(row, evaluation, model.checkpoint, _split(evaluation))
            except checkpoints.DoesNotFit as error:
                raise errors.UserError('{}: not the weights of {}: {}'.format(
                    FLAGS.archive or model.folder, row['name'], error.found))
            if FLAGS.eval_logdir:
                results.write(FLAGS.eval_logdir, report)
            done.append(_compared(row, evaluation, report))
            if not FLAGS.json:
                print(job.format_result(report))
    if FLAGS.json:
        _json(done)
    else:
        print('\n'.join(map(_format_comparison, done)))


@contextlib.contextmanager
def _model_to_evaluate(row):
    if not FLAGS.archive:
        yield _obtain(row)
        return
    with model_zoo_files.at_hand(FLAGS.archive) as model:
        yield model


def _split(evaluation):
    published = evaluation['split']
    return FLAGS.eval_split or ('val' if published == names.TEST_SET else published)


def _check_data(row, settings):
    """Looks whether the records are there before hundreds of megabytes are downloaded."""
    description = descriptions.load(FLAGS.dataset or row['dataset'], FLAGS.dataset_dir)
    for evaluation in settings:
        description.shards(_split(evaluation), FLAGS.dataset_dir)


def _write_markdown(path):
    image_files.write_text(path, model_zoo_page.markdown(model_zoo.load_rows()))


def _check_no_network_flags():
    given = [flag.name for flag in FLAGS.flags_by_module_dict()[common.__name__] if flag.present]
    if given:
        raise errors.UserError('--{}: the rows of the model zoo say what network it is; leave the '
                               'flag out.'.format(given[0]))


def main(_):
    _check_no_network_flags()
    action, value = _action()
    if FLAGS.archive and action not in ('download', 'evaluate'):
        raise errors.UserError('--archive={}: say whose it is by --evaluate=ROW or '
                               '--download=ROW.'.format(FLAGS.archive))
    {'list': lambda _: _list(), 'show': _show, 'download': _download, 'evaluate': _evaluate,
     'write_markdown': _write_markdown}[action](value)


def entry():
    """Runs the command (console script deeplab-zoo)."""
    cli.run(main, define_flags)


if __name__ == '__main__':
    entry()
