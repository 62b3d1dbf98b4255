"""What the recipes of the forma data sets share: folders with labels converted, parts joined.

Everything lies below one folder, --root:

    <root>/datasets/<NAME>/images, labels     the pictures, of the data sets that are converted
    <root>/datasets/<NAME>/dataset_split      train.txt, trainval.txt, val.txt: one name a line
    <root>/datasets/<NAME>/tfrecord           the records and dataset.json

The sizes of all splits are checked against those of the description, before the work and after it.
"""
import collections
import os

from absl import flags
import tabulate

from deeplab import cli
from deeplab import errors
from deeplab.datasets import conversion_pairs
from deeplab.datasets import descriptions
from deeplab.datasets import joining
from deeplab.datasets import label_sets
from deeplab.datasets import records
from deeplab.datasets import split_lists

import recipe_flags

FLAGS = flags.FLAGS

_HERE = os.path.dirname(os.path.abspath(__file__))
_COLORMAP = 'forma'
_DEFAULT_ROOT = '~/storage/shared/deeplab'
# Data sets whose labels are not the nine classes yet: label set in class_maps/.
_LABEL_SETS = {
    'imaterialist37k': 'fashion_parsing_bits.json',
    'humanparsing17k': 'atr_human_parsing.json',
}


_OF_CONVERSION = ('image_folder', 'label_folder', 'list_folder', 'class_map', 'seed',
                  'images_per_shard', 'num_workers', 'skip_bad')


def _define_flags(description):
    """Defines the flags of one data set, or of all of them where it is None."""
    name = description.name if description else '<dataset>'
    if not description:
        flags.DEFINE_enum('dataset', None, known_names(), 'Data set to make.')
        flags.mark_flag_as_required('dataset')
    flags.DEFINE_string('root', _DEFAULT_ROOT, 'Folder of datasets/, init_models/, experiments/.')
    flags.DEFINE_string('output_dir', None, 'Folder for the TFRecords; default '
                        '<root>/datasets/{}/tfrecord.'.format(name))
    flags.DEFINE_float('expected_scale', 1.0, 'Share of the pictures that is there: 0.01 expects a '
                       'hundredth of each split. 0 takes any number.', lower_bound=0.0)
    if description and description.parts:
        flags.DEFINE_bool('overwrite', False, 'Remove the shards of an earlier, different join.')
        return
    for kind in ('image', 'label'):
        flags.DEFINE_string(kind + '_folder', None, 'Folder of {0}s; default '
                            '<root>/datasets/{1}/{0}s.'.format(kind, name))
    flags.DEFINE_string('list_folder', None, 'Folder of the lists of the splits; default '
                        '<root>/datasets/{}/dataset_split. Where there are none they are drawn.'
                        .format(name))
    flags.DEFINE_string('class_map', None, 'JSON file of what each label becomes; empty: labels '
                        'are classes already. When not given: that of the data set in class_maps/.')
    flags.DEFINE_integer('seed', 0, 'Another seed draws other lists.', lower_bound=0)
    recipe_flags.define_conversion_flags(images_per_shard=500)


def known_names() -> list:
    """Returns the names of the data sets of this family, further names among them."""
    names = descriptions.known_names() + list(descriptions.known_aliases())
    return [name for name in names if descriptions.load(name).colormap == _COLORMAP]


def _class_map(description):
    path = FLAGS.class_map
    if path is None and description.name in _LABEL_SETS:
        path = os.path.join(_HERE, 'class_maps', _LABEL_SETS[description.name])
    return label_sets.read(path, description) if path else None


def _folder(name, ending):
    return os.path.join(os.path.expanduser(FLAGS.root), 'datasets', name, ending)


def leaves(description) -> list:
    """Returns the descriptions of the data sets that a data set is joined from in the end."""
    if not description.parts:
        return [description]
    return [leaf for part in description.parts for leaf in leaves(descriptions.load(part))]


def expected_sizes(description, scale: float):
    """Returns split name -> number of images there have to be, None where any will do.

    Args:
        description: descriptions.Description; of a joined one the sums over its parts count.
        scale: share of the pictures; a split that has any keeps one at least. 0 for any number.

    Raises:
        UserError: sums of the parts that are not the sizes the description states.
    """
    if not scale:
        return None
    sums = collections.OrderedDict.fromkeys(description.splits_to_sizes, 0)
    for leaf in leaves(description):
        for split, size in leaf.splits_to_sizes.items():
            sums[split] += max(1, int(size * scale + 0.5)) if size else 0
    if scale == 1:
        joining.check_sizes('The parts of ' + description.name, sums, description.splits_to_sizes)
    return sums


def _parts_there(description):
    """Returns the joining.Parts of a data set: its parts, or in turn theirs."""
    found = []
    for name in description.parts:
        part, folder = descriptions.load(name), _folder(name, 'tfrecord')
        if records.splits_found(folder):
            found.append(joining.Part(name, folder))
        elif part.parts:
            found += _parts_there(part)
        else:
            raise errors.UserError(
                '{} needs {}, but there are no records in {}. Run datasets/build_forma_data.py '
                '--dataset={} with the same --root first.'.format(
                    description.name, name, folder, name))
    return found


def _join(description, output_dir):
    given = [flag for flag in _OF_CONVERSION if flag in FLAGS and cli.given(flag)]
    if given:
        raise errors.UserError('--{} acts on conversions; {} is joined from {}.'.format(
            given[0], description.name, ' and '.join(description.parts)))
    parts = _parts_there(description)
    print('Joining {} into {}'.format(', '.join(part.name for part in parts), output_dir))
    return joining.join(description, parts, output_dir,
                        expected_sizes(description, FLAGS.expected_scale), FLAGS.overwrite)


def _convert(description, output_dir):
    image_folder, label_folder, list_folder = [
        getattr(FLAGS, flag) or _folder(description.name, default) for flag, default in (
            ('image_folder', 'images'), ('label_folder', 'labels'),
            ('list_folder', 'dataset_split'))]
    class_map = _class_map(description)
    images = conversion_pairs.find_pictures(image_folder, '--image_folder')
    labels = conversion_pairs.find_pictures(
        label_folder, '--label_folder', conversion_pairs.LABEL_EXTENSIONS)
    expected = expected_sizes(description, FLAGS.expected_scale)
    wanted = [split for split, size in description.splits_to_sizes.items() if size]
    lists = split_lists.find(list_folder, wanted)
    if not lists:
        lists = split_lists.draw(list_folder, list(images), description.splits_to_sizes, expected,
                                 FLAGS.seed)
        print('Drew the lists of the splits (seed {}) into {}'.format(FLAGS.seed, list_folder))
    splits = collections.OrderedDict(
        (split, conversion_pairs.match(
            conversion_pairs.pick(conversion_pairs.read_list(path), images, path, 'image',
                                  image_folder), labels, label_folder))
        for split, path in lists.items())
    for line in split_lists.overlaps({split: [pair.name for pair in pairs]
                                      for split, pairs in splits.items()}):
        print('note: ' + line)
    joining.check_sizes(list_folder, {split: len(pairs) for split, pairs in splits.items()},
                        expected)
    return recipe_flags.convert(description._replace(splits_to_sizes={}, report={}), splits,
                                class_map=class_map, orientation='auto', output_dir=output_dir)


def _report(description, described, output_dir):
    """Prints the table of the sizes; the records themselves are counted, not the lists."""
    expected = expected_sizes(description, FLAGS.expected_scale)
    found = {split: records.count_records(records.list_shards(output_dir, split))
             for split in records.splits_found(output_dir)}
    rows = [['expected'] + [expected[split] if expected else 'any'
                            for split in description.splits_to_sizes],
            ['records'] + [found.get(split, 0) for split in description.splits_to_sizes]]
    print('\n' + tabulate.tabulate(rows, headers=[description.name] + list(
        description.splits_to_sizes)))
    for split, summary in described.report.get('splits', {}).items():
        largest = summary['largest_size']
        if any(side > limit for side, limit in zip(largest, description.eval_crop)):
            print('note: {} has pictures of up to {}x{} pixels, beyond the evaluation crop of '
                  '{}x{}.'.format(split, *largest + list(description.eval_crop)))
    joining.check_sizes(output_dir, found, expected)


def run(name: str = None) -> None:
    """Runs the recipe of a data set.

    Args:
        name: of the data set; None for the one that --dataset names.
    """
    def main(_):
        description = descriptions.load(name or FLAGS.dataset)
        output_dir = FLAGS.output_dir or _folder(description.name, 'tfrecord')
        make = _join if description.parts else _convert
        _report(description, make(description, output_dir), output_dir)

    cli.run(main, lambda: _define_flags(descriptions.load(name) if name else None))
