"""SavedModels are used by a fresh process through their signatures alone."""
import os
import subprocess
import sys

import numpy as np
import pytest

from deeplab.export import frozen_graph
from tests import tiny_run
from tests.export import conftest

# Nothing of this program: what any user of the SavedModel would write.
_USER = '''
import sys
import numpy as np
import tensorflow.compat.v1 as tf
folder, sources = sys.argv[1], sys.argv[2:]
with tf.Graph().as_default(), tf.Session() as session:
    signatures = tf.saved_model.loader.load(session, ['serve'], folder).signature_def
    for source in sources:
        found = signatures[source.split('.')[0]]
        (feed,) = found.inputs.values()
        results = session.run({key: info.name for key, info in found.outputs.items()},
                              {feed.name: np.load(source, allow_pickle=True)})
        np.savez(source + '.npz', **results)
'''
_SIZES = ((40, 60), (20, 65), (64, 10))


def _batch(count):
    return np.stack([conftest.picture(40, 60, seed) for seed in range(count)])


@pytest.fixture(scope='module', name='used')
def _used(exported, tmp_path_factory):
    """Returns dict: name of what was fed, which begins with the signature -> its outputs."""
    folder = tmp_path_factory.mktemp('used')
    fed = {'serving_default.{}.npy'.format(count): _batch(count) for count in (1, 5)}
    fed['encoded_images.npy'] = np.array(
        [tiny_run.encode(conftest.picture(*size)) for size in _SIZES], object)
    for name, values in fed.items():
        np.save(str(folder / name), values)
    subprocess.check_call(
        [sys.executable, '-c', _USER, str(exported.folder / 'graph_saved_model' / '1')] +
        sorted(fed), cwd=str(folder), env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'))
    return {name: np.load(str(folder / (name + '.npz'))) for name in fed}


@pytest.fixture(scope='module', name='graph')
def _graph(exported):
    graph = frozen_graph.FrozenGraph(str(exported.folder / 'graph.pb'))
    yield graph
    graph.close()


@pytest.mark.parametrize('batch', [1, 5])
def test_batches_of_pictures(used, graph, batch):
    found = used['serving_default.{}.npy'.format(batch)]
    assert found['labels'].shape == (batch, 40, 60)
    assert found['probabilities'].shape == (batch, 40, 60, 3)
    for labels, image in zip(found['labels'], _batch(batch)):
        assert np.mean(labels != graph.run(image)[0][0]) < 1e-3


def test_encoded_pictures_of_several_sizes(used, graph):
    found = used['encoded_images.npy']
    assert [tuple(size) for size in found['sizes']] == list(_SIZES)
    assert found['labels'].shape == (3, 64, 65)
    for labels, (height, width) in zip(found['labels'], _SIZES):
        wanted = graph.run(conftest.picture(height, width))[0][0]
        assert np.mean(labels[:height, :width] != wanted) < 1e-3
        assert np.all(labels[height:] == 255) and np.all(labels[:, width:] == 255)
    assert sorted(found.files) == ['labels', 'probabilities', 'sizes']
