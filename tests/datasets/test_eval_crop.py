"""The crop an evaluation needs."""
from hypothesis import given
from hypothesis import strategies
import pytest

from deeplab import errors
from deeplab import input_preprocess
from deeplab.datasets import eval_crop

PLAIN = input_preprocess.Options(1, 1, None, None, None, 1.0, 1.0, 0, 255, False, None)
RESIZED = PLAIN._replace(min_resize_value=257, max_resize_value=513, resize_factor=16)
SIZES = {(375, 500): 'wide', (500, 333): 'high', (10, 10): 'tiny'}


@given(strategies.integers(1, 3000), strategies.integers(1, 3000),
       strategies.sampled_from([4, 8, 16, 32]))
def test_fitting_crop_is_the_smallest_of_its_form(height, width, output_stride):
    crop = eval_crop.fitting_crop(height, width, output_stride)
    for side, wanted in zip((height, width), crop):
        assert (wanted - 1) % output_stride == 0
        assert side <= wanted < side + output_stride


def test_largest_sides_may_be_of_two_pictures():
    assert eval_crop.largest_before_crop(SIZES, PLAIN) == (500, 500)
    # 375 x 500 becomes 257 x 353, 500 x 333 becomes 385 x 257, and 10 x 10 becomes 257 x 257.
    assert eval_crop.largest_before_crop(SIZES, RESIZED) == (385, 353)


def test_check():
    eval_crop.check((500, 500), SIZES, PLAIN)
    eval_crop.check((385, 353), SIZES, RESIZED)
    with pytest.raises(errors.UserError, match=(
            '--eval_crop_size=499,500 is smaller than picture high of 500 x 333 pixels. '
            'Use --eval_crop_size=513,513,')):
        eval_crop.check((499, 500), SIZES, PLAIN, flag='eval_crop_size')
    with pytest.raises(errors.UserError, match=(
            'picture wide of 375 x 500 pixels .257 x 353 after resizing.. '
            'Use --crop_size=385,353,')):
        eval_crop.check((500, 352), SIZES, RESIZED, output_stride=8)
