"""The model zoo to read: a table for the terminal, the page g3doc/model_zoo.md."""
import tabulate

from deeplab import model_zoo

_HEAD = """\
# Model zoo

<!-- Written by: deeplab-zoo --write_markdown=g3doc/model_zoo.md. Edit deeplab/model_zoo.json, or
the text in deeplab/model_zoo_page.py, not this page. -->

The published DeepLab checkpoints, with the flags that build their networks here, variable for
variable, and the figures they were published with. They are data of this program
(`deeplab/model_zoo.json`), and a command (`deeplab-zoo`) works on them:

```bash
python deeplab/zoo.py                                           # the table; --json for programs
python deeplab/zoo.py --show=mobilenetv2_coco_voc_trainaug      # one row, with its flags
python deeplab/zoo.py --download=mobilenetv2_coco_voc_trainaug  # into models/<row>
python deeplab/zoo.py --evaluate=mobilenetv2_coco_voc_trainaug \\
    --dataset_dir=data/pascal_voc_seg/tfrecord
```

* `--download` goes on where an earlier call was cut short, holds the file to the checksum its
  server tells (and to the row's `sha256` in `deeplab/model_zoo.json`, where you add one), unpacks
  it under `--models_dir` (default `models`) and deletes the archive (`--keep_archive` keeps it). It
  prints where checkpoint and frozen graph lie. Another call finds the model there and does nothing.
* Without a network, get the archive elsewhere and name it: `--archive=PATH`. It may be the archive
  or, for `--evaluate`, its folder once unpacked or a checkpoint. An archive of the original name in
  `--models_dir` is found by itself, by the demo and the notebook too.
  `--mirror=https://host/folder` takes the archives from a server of yours.
* An archive that is broken or only half downloaded, has members that lead out of the folder it is
  unpacked to, or holds no model is refused by name, and nothing is unpacked.
* `--evaluate` builds the network with the row's flags, evaluates the split the figure was published
  for, at the row's input size, scales and output stride, and prints published, measured and
  difference. `--setting=2` takes the second evaluation of a row, `--setting=0` all of them;
  `--eval_split` another split; `--eval_logdir` also keeps the results as `deeplab-eval` does.
  Figures published for a test split cannot be reached without its labels: `val` is measured then.
  The answer says so, over how many images it is, and whether that is fewer than published.
* `--show` prints the flags of the network, which all commands take, and those of `deeplab-eval`.
  Other commands take a row by name: `deeplab-model-stats --model_zoo_row=NAME`,
  `deeplab-demo --model_zoo_row=NAME`.
"""

_SECTIONS = (
    ('pascal_voc_seg', 'PASCAL VOC 2012',
     'mIoU on `val` where the training set is train_aug; `test` figures are of the PASCAL server.'),
    ('cityscapes', 'Cityscapes',
     'MobileNetV3 and EdgeTPU rows publish other counts than multiply-adds of convolutions; see\n'
     '[model_stats.md](model_stats.md). The input of the EdgeTPU rows is what their multiply-adds '
     'fit;\n`--evaluate` takes whole pictures, 1025x2049, for them too.'),
    ('ade20k', 'ADE20K',
     'The longest side of each picture is resized to the input size.'),
    (None, 'Starting points',
     'Backbones only, from ImageNet or ImageNet and COCO. Train from them with\n'
     '`--tf_initial_checkpoint`.'))

_TAIL = """\
Two quantised MobileNetV2 were published as figures only, on PASCAL `val` at output stride 16: depth
multiplier 0.5, 8 bits: mIoU 69.65 %, 751 KB as TFLite; 1.0: 74.26 %, 2.2 MB.
"""


def _size(row):
    return '{}x{}'.format(*row['input_size'])


def _figure(value):
    return '' if value is None else '{:g}'.format(value)


def _file_size(row):
    return '' if row['file_size_mb'] is None else '{:g}'.format(row['file_size_mb'])


def _evaluation_cells(evaluation):
    return [evaluation['output_stride'],
            model_zoo.scales_text(evaluation['scales'], evaluation['flip']), evaluation['split'],
            _figure(evaluation['miou_percent']), _figure(evaluation.get('pixel_accuracy_percent')),
            _figure(evaluation['multiply_adds_billion'])]


_EVALUATION_HEADERS = ['stride', 'scales', 'split', 'mIoU %', 'pixel acc. %', 'multiply-adds G']
# The same in fewer letters, for lines of a terminal.
_SHORT_HEADERS = ['stride', 'scales', 'split', 'mIoU %', 'acc. %', 'G m-adds']


def table(rows, is_here) -> str:
    """Returns the rows as text: a part each data set, a line each evaluation.

    Args:
        rows: of the zoo.
        is_here: function of a row, whether it is downloaded.
    """
    titles = {dataset: title for dataset, title, _ in _SECTIONS}
    lines, begins = [], {}
    for row in rows:
        begins.setdefault(row['dataset'], len(lines))
        about = [row['name'], _size(row)]
        ends = [_file_size(row), 'yes' if is_here(row) else '']
        for evaluation in row['evaluations']:
            lines.append(about + _evaluation_cells(evaluation) + ends)
            about, ends = [''] * len(about), [''] * len(ends)
        if not row['evaluations']:
            lines.append(about + [''] * len(_EVALUATION_HEADERS) + ends)
    text = tabulate.tabulate(
        lines, ['row', 'input'] + _SHORT_HEADERS + ['MB', 'here'], disable_numparse=True,
        colalign=('left',) * 2 + ('right', 'left', 'left') + ('right',) * 4 + ('left',))
    printed = text.splitlines()
    headers, body = printed[:-len(lines)], printed[-len(lines):]
    for dataset, begin in begins.items():
        body[begin] = '\n{}\n{}'.format(titles.get(dataset, dataset), body[begin])
    return '\n'.join(headers + body)


def details(row, checkpoint=None) -> str:
    """Returns one row with the flags that use it, as text.

    Args:
        row: of the zoo.
        checkpoint: prefix of its checkpoint, None where it is not here.
    """
    lines = [row['name'],
             '  archive      {} ({} MB)'.format(row['archive'], _file_size(row) or '?'),
             '  data set     {}'.format(row['dataset'] or 'none: a backbone to train from'),
             '  trained on   {}'.format(row['pretrained_on']),
             '  input        {}'.format(_size(row))]
    for number, evaluation in enumerate(row['evaluations'], 1):
        published = dict(zip(_EVALUATION_HEADERS, _evaluation_cells(evaluation)))
        lines += ['', '  setting {}: {}'.format(number, ', '.join(
            '{} {}'.format(name, value) for name, value in published.items() if value)),
                  '    network: ' + ' '.join(model_zoo.network_flags(row, evaluation)),
                  '    deeplab-eval: ' + ' '.join(model_zoo.evaluation_flags(row, evaluation))]
    if not row['evaluations']:
        lines += ['', '  network: ' + ' '.join(model_zoo.network_flags(row))]
    lines += ['', '  to train from it: --tf_initial_checkpoint='
              + (checkpoint or '<its checkpoint>')
              + (' --initialize_last_layer=false for other classes' if row['dataset'] else '')]
    return '\n'.join(lines)


def _markdown_table(headers, aligns, rows):
    marks = {'left': '---', 'right': '---:'}
    lines = [headers, [marks[align] for align in aligns]] + rows
    return '\n'.join('| ' + ' | '.join(str(cell) for cell in line) + ' |' for line in lines)


def _section_table(rows, has_accuracy):
    """Returns the rows of one data set, without the column that only some sections fill."""
    if not rows[0]['evaluations']:
        return _markdown_table(
            ['row', 'trained on', 'input', 'archive MB'], ['left'] * 3 + ['right'],
            [['[{name}]({archive})'.format(**row), row['pretrained_on'], _size(row),
              _file_size(row)] for row in rows])
    skipped = None if has_accuracy else _EVALUATION_HEADERS.index('pixel acc. %')

    def kept(cells):
        return [cell for column, cell in enumerate(cells) if column != skipped]

    lines = []
    for row in rows:
        about = ['[{name}]({archive})'.format(**row), row['pretrained_on'], _size(row)]
        size = _file_size(row)
        for evaluation in row['evaluations']:
            lines.append(about + kept(_evaluation_cells(evaluation)) + [size])
            about, size = [''] * 3, ''
    aligns = ['left'] * 3 + kept(['right', 'left', 'left'] + ['right'] * 3) + ['right']
    return _markdown_table(['row', 'trained on', 'input'] + kept(_EVALUATION_HEADERS)
                           + ['archive MB'], aligns, lines)


def markdown(rows) -> str:
    """Returns the page g3doc/model_zoo.md."""
    parts = [_HEAD]
    for dataset, title, text in _SECTIONS:
        chosen = [row for row in rows if row['dataset'] == dataset]
        has_accuracy = any('pixel_accuracy_percent' in evaluation for row in chosen
                           for evaluation in row['evaluations'])
        parts += ['## {}\n\n{}\n'.format(title, text), _section_table(chosen, has_accuracy) + '\n']
    flags = [['`{}`'.format(row['name']), '`{}`'.format(' '.join(model_zoo.network_flags(row)))]
             for row in rows]
    parts += ['## Flags that build the networks\n\nAll others are at their defaults. With an ASPP '
              '(Xception without a cell) add `--atrous_rates=6,12,18` at output stride 16,\n'
              '`12,24,36` at 8.\n',
              _markdown_table(['row', 'flags'], ['left'] * 2, flags) + '\n', _TAIL]
    return '\n'.join(parts)
