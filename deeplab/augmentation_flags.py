"""Flags of further augmentation, for the commands that train or show what training sees."""
from absl import flags

from deeplab.core import augmentation

FLAGS = flags.FLAGS


def define_augmentation_flags():
    """Defines --augmentation and one flag for each field of `augmentation.Options`."""
    flags.DEFINE_enum('augmentation', 'none', list(augmentation.PRESETS),
                      'Values of the augmentation flags that are not given themselves.')
    for name, (_, text) in augmentation.OPTIONS.items():
        values = ', '.join('{} with {}'.format(getattr(options, name), preset)
                           for preset, options in augmentation.PRESETS.items())
        flags.DEFINE_float(name, None, '{} When not given, that of --augmentation: {}.'.format(
            text, values))


def augmentation_from_flags() -> augmentation.Options:
    """Returns the `augmentation.Options` that the parsed flags describe, checked.

    Raises:
        UserError: for a range that makes no sense.
    """
    given = {name: getattr(FLAGS, name) for name in augmentation.OPTIONS
             if getattr(FLAGS, name) is not None}
    options = augmentation.PRESETS[FLAGS.augmentation]._replace(**given)
    options.check()
    return options
