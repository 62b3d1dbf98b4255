"""Other backbones than MobileNetV2 in every format: all say what the checkpoint says."""
import os

import numpy as np
import pytest

from deeplab import compat
from deeplab import names
from deeplab.export import check
from deeplab.export import frozen_graph
from deeplab.export import job
from deeplab.export import network
from deeplab.utils import image_files
from tests import shared_data
from tests.export import conftest

# How many photographs the slow form takes; each has 500 x 375 pixels or so.
_PHOTOGRAPHS = 2
_CLASSES = 19

# name: (options, those of the reduced form, weights that give logits of a sane size, what is added
# to the logits last).
_NETWORKS = {
    'xception_65': (
        dict(model_variant='xception_65', output_stride=16, atrous_rates=[6, 12, 18],
             decoder_output_stride=[4]),
        dict(aspp_convs_filters=16, decoder_filters=16), 'mid', 'logits/semantic/biases'),
    # As it is used on Cityscapes; its pooling covers three quarters of the crop there, too.
    'mobilenet_v3_large_seg': (
        dict(model_variant='mobilenet_v3_large_seg', output_stride=32,
             image_pooling_crop_size=[385, 385], image_pooling_stride=[4, 5],
             aspp_convs_filters=128, aspp_with_concat_projection=False,
             aspp_with_squeeze_and_excitation=True, decoder_output_stride=[8],
             decoder_filters=_CLASSES, decoder_use_sum_merge=True, decoder_output_is_logits=True,
             image_se_uses_qsigmoid=True),
        dict(image_pooling_crop_size=[97, 97]), 'he', 'decoder/decoder_conv0/biases'),
}


def _check_formats(name, folder, crop, images, are_exact, **changes):
    """Exports seeded weights in all formats and checks what came of it.

    One label in 10,000 may differ; with `are_exact` none where TensorFlow 1.15 runs the format.
    """
    values, _, init, biases = _NETWORKS[name]
    options = names.ModelOptions({names.OUTPUT_TYPE: _CLASSES},
                                 **dict(dict(values, crop_size=[crop, crop]), **changes))
    prefix = conftest.write_checkpoint(folder, options, init, biases, images)
    path = str(folder / 'graph.pb')
    results = job.export(prefix, network.Recipe(options), path,
                         job.Options(formats=conftest.FORMATS, images=images, repeats=1))[1:]
    print('\n{}\n{}'.format(name, check.table(results)))
    assert len(results) == len(conftest.FORMATS)
    spread = _spread_of_logits(path, images)
    for result in results:
        exact = are_exact and compat.IS_TF1 and result.format in ('frozen graph', 'SavedModel')
        assert result.pixels == sum(image[..., 0].size for image in images)
        assert result.different <= (0 if exact else result.pixels // 10000), result
        assert result.logit_difference < 1e-3 * spread, result


def _spread_of_logits(path, images):
    """Checks that agreement is no accident: several classes, and logits of a sane size."""
    graph = frozen_graph.FrozenGraph(path)
    spreads = []
    for image in images:
        labels, probabilities = graph.run(image, (frozen_graph.OUTPUT_NAME,
                                                  frozen_graph.PROBABILITIES_NAME))
        assert np.sum(np.bincount(labels.ravel()) > 0.01 * labels.size) >= 5
        spreads.append(check.logits_of(probabilities).std())
    graph.close()
    assert 0.1 < min(spreads) and max(spreads) < 100
    return min(spreads)


@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_small_networks_agree(name, tmp_path, small_xception):
    _check_formats(name, tmp_path, 129, [check.noise_picture([172, 172])], are_exact=True,
                   **_NETWORKS[name][1])


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(_NETWORKS))
def test_whole_networks_agree_on_photographs(name, tmp_path):
    folder = shared_data.path('data/voc/JPEGImages')
    images = [image_files.read_image(os.path.join(folder, file))
              for file in sorted(os.listdir(folder))[:_PHOTOGRAPHS]]
    # In Xception-65 with random weights rounding grows to 1e-5 of the logits, and a few pixels of
    # a million have two classes as close as that. TensorFlow itself rounds otherwise where weights
    # are constants: in the plain graph, too, a few labels differ.
    _check_formats(name, tmp_path, 513, images, are_exact=name != 'xception_65')
