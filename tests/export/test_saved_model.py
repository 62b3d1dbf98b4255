"""SavedModels are used by a fresh process through their signatures alone."""
import os
import subprocess
import sys

import numpy as np
import pytest

from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from tests import tiny_run
from tests.export import conftest

# Nothing of this program: what any user of the SavedModel would write.
_USER = '''
import sys
import numpy as np
import tensorflow.compat.v1 as tf
folder, signature, source, target = sys.argv[1:]
values = np.load(source, allow_pickle=True)
with tf.Graph().as_default(), tf.Session() as session:
    found = tf.saved_model.loader.load(session, ['serve'], folder).signature_def[signature]
    (feed,) = found.inputs.values()
    results = session.run({key: info.name for key, info in found.outputs.items()},
                          {feed.name: values})
np.savez(target, **results)
'''


@pytest.fixture(scope='module', name='written')
def _written(prefix, tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    job.export(prefix, network.Recipe(conftest.options()), str(folder / 'graph.pb'),
               job.Options(formats=('frozen', 'saved_model'), repeats=1))
    return folder


def _use(written, signature, values, folder):
    source, target = str(folder / 'in.npy'), str(folder / 'out.npz')
    np.save(source, values)
    subprocess.check_call(
        [sys.executable, '-c', _USER, str(written / 'graph_saved_model' / '1'), signature, source,
         target], cwd=str(folder), env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3'))
    return np.load(target)


@pytest.mark.parametrize('batch', [1, 5])
def test_batches_of_pictures(written, batch, tmp_path):
    images = np.stack([conftest.picture(40, 60, seed) for seed in range(batch)])
    found = _use(written, 'serving_default', images, tmp_path)
    graph = frozen_graph.FrozenGraph(str(written / 'graph.pb'))
    assert found['labels'].shape == (batch, 40, 60)
    assert found['probabilities'].shape == (batch, 40, 60, 3)
    for labels, image in zip(found['labels'], images):
        assert np.mean(labels != graph.run(image)[0][0]) < 1e-3
    graph.close()


def test_encoded_pictures_of_several_sizes(written, tmp_path):
    images = [conftest.picture(*size) for size in ((40, 60), (20, 65), (64, 10))]
    encoded = np.array([tiny_run.encode(image) for image in images], object)
    found = _use(written, 'encoded_images', encoded, tmp_path)
    assert found['sizes'].tolist() == [[40, 60], [20, 65], [64, 10]]
    assert found['labels'].shape == (3, 64, 65)
    graph = frozen_graph.FrozenGraph(str(written / 'graph.pb'))
    for labels, image in zip(found['labels'], images):
        height, width = image.shape[:2]
        assert np.mean(labels[:height, :width] != graph.run(image)[0][0]) < 1e-3
        assert np.all(labels[height:] == 255) and np.all(labels[:, width:] == 255)
    graph.close()
    assert sorted(found.files) == ['labels', 'probabilities', 'sizes']
