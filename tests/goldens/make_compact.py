"""Makes the compact goldens of this folder from a folder of full ones.

    python tests/goldens/make_compact.py --goldens_dir=DIR

Full goldens are what the original network was found to be: `variables/*.json` and `outputs/*.npz`.
Kept of them: every variable list; of the outputs the logits and labels at sampled positions, and
mean, spread and largest value of every end point.
"""
import glob
import gzip
import json
import os

import numpy as np
from absl import app
from absl import flags

FLAGS = flags.FLAGS
_HERE = os.path.dirname(os.path.abspath(__file__))
VARIABLES = os.path.join(_HERE, 'variables.json.gz')
OUTPUTS = os.path.join(_HERE, 'outputs.npz')
_POSITIONS = 48
_INITS = ('he', 'mid')


def sample(values, count=_POSITIONS):
    """Returns values [height, width, ...] at `count` positions spread over the picture."""
    flat = values.reshape((values.shape[0] * values.shape[1],) + values.shape[2:])
    return flat[np.linspace(0, len(flat) - 1, count).astype(np.int64)]


def _key(path):
    return os.path.splitext(os.path.basename(path))[0]


def _variables(folder):
    lists = {}
    for path in sorted(glob.glob(os.path.join(folder, 'variables', '*.json'))):
        with open(path) as handle:
            golden = json.load(handle)
        lists[_key(path)] = {
            'config': golden['config'], 'update_ops': golden['update_ops'],
            'l2_regularized': golden['l2_regularized'],
            'variables': [[entry['name'], entry['shape'], entry['trainable']]
                          for entry in golden['variables']]}
    return lists


def _outputs(folder):
    arrays = {}
    for path in sorted(glob.glob(os.path.join(folder, 'outputs', '*.npz'))):
        golden = np.load(path)
        meta = json.loads(str(golden['meta_json']))
        kept = {'config': meta['config'], 'end_points': {}, 'std': {}}
        for init in _INITS:
            logits = golden[init + '_merged_logits'][0]
            kept['std'][init] = float(logits.std())
            kept['weights_crc32_' + init] = meta['weights_crc32_' + init]
            kept['end_points'][init] = {
                name: [point['mean'], point['std'], point['absmax']]
                for name, point in meta.get(init + '_end_points', {}).items()}
            prefix = '{}/{}_'.format(_key(path), init)
            arrays[prefix + 'logits'] = sample(logits)
            arrays[prefix + 'labels'] = sample(golden[init + '_labels'][0], 512)
        arrays[_key(path) + '/meta'] = np.array(json.dumps(kept, sort_keys=True))
    return arrays


def main(_):
    text = json.dumps(_variables(FLAGS.goldens_dir), sort_keys=True, separators=(',', ':'))
    with open(VARIABLES, 'wb') as raw, gzip.GzipFile(fileobj=raw, mode='wb', mtime=0) as handle:
        handle.write(text.encode('utf-8'))
    np.savez_compressed(OUTPUTS, **_outputs(FLAGS.goldens_dir))
    for path in (VARIABLES, OUTPUTS):
        print('{}: {:.0f} kB'.format(path, os.path.getsize(path) / 1e3))


if __name__ == '__main__':
    flags.DEFINE_string('goldens_dir', None, 'Folder of the full goldens.')
    flags.mark_flag_as_required('goldens_dir')
    app.run(main)
