"""The whole network against the reference: variables exact, outputs to a fraction of their spread."""
import glob
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from deeplab import compat
from deeplab import model
from deeplab import names
from deeplab.core import feature_extractor
from tests import golden_net
from tests import shared_data

# Largest difference of logits, in units of their standard deviation.
_TOLERANCE = 1e-4 if compat.IS_TF1 else 1e-3
_SHARED = shared_data._ROOT


def _names(folder, ending):
    """Returns the goldens there are, of backbones that are registered."""
    found = sorted(glob.glob(os.path.join(_SHARED, 'goldens', folder, '*' + ending)))
    keys = [os.path.basename(path)[:-len(ending)] for path in found]
    known = feature_extractor.backbone_names()
    return [key for key in keys
            if key.split('__')[0].replace('_dm05', '').replace('_dm075', '') in known] or ['absent']


def _config(key):
    with open(shared_data.path('goldens/variables/{}.json'.format(key))) as handle:
        return json.load(handle)


@pytest.mark.parametrize('key', _names('variables', '.json'))
def test_training_graph_has_the_variables_of_the_reference(key):
    golden = _config(key)
    golden_net.training_graph(golden['config'])
    variables = [(variable.op.name, variable.shape.as_list()) for variable in
                 tf.global_variables()]
    assert variables == [(entry['name'], entry['shape']) for entry in golden['variables']]
    trainable = {variable.op.name for variable in tf.trainable_variables()}
    assert trainable == {entry['name'] for entry in golden['variables'] if entry['trainable']}
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == golden['update_ops']
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    assert len(losses) == golden['l2_regularized_count']
    layers = sorted(loss.op.name.split('/kernel/Regularizer')[0].split('/weights/Regularizer')[0]
                    for loss in losses)
    assert len(set(layers)) == len(layers)


@pytest.mark.parametrize('key', _names('outputs', '.npz'))
def test_outputs_equal_the_reference(key):
    golden = np.load(shared_data.path('goldens/outputs/{}.npz'.format(key)))
    meta = json.loads(str(golden['meta_json']))
    config = meta['config']
    options = golden_net.model_options(config)
    image = golden_net.image(config)
    images = tf.placeholder(tf.float32, image.shape)
    by_scale = model.multi_scale_logits(images, options, config['image_pyramid'])[
        names.OUTPUT_TYPE]
    fetches = {'merged_logits': by_scale[model.MERGED_LOGITS_SCOPE]}
    with tf.variable_scope(tf.get_variable_scope(), reuse=True):
        fetches['labels'] = model.predict_labels(images, options, config['image_pyramid'])[
            names.OUTPUT_TYPE]
        if config['multi_scale_labels']:
            fetches['ms_flip_labels'] = model.predict_labels_multi_scale(
                images, options, eval_scales=[0.5, 1.0, 1.5], add_flipped_images=True)[
                    names.OUTPUT_TYPE]
    for name in by_scale:
        if name.startswith('logits_'):
            fetches['scale_' + name.replace('.', '_')] = by_scale[name]
    weights = golden_net.Weights(tf.global_variables())
    with tf.Session() as session:
        for init in ('he', 'mid'):
            assert weights.load(session, init) == meta['weights_crc32_' + init]
            got = session.run(fetches, {images: image})
            spread = golden[init + '_merged_logits'].std()
            for name in fetches:
                wanted = golden['{}_{}'.format(init, name)]
                if name.endswith('labels'):
                    assert np.mean(got[name] != wanted) <= 1e-4, name
                else:
                    worst = np.abs(got[name] - wanted).max() / spread
                    assert worst <= _TOLERANCE, (init, name, worst)
