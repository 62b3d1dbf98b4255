"""--mixed_precision and --xla: what TensorFlow itself offers to make a step faster or smaller."""
import os

from absl import logging
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from deeplab import compat
from deeplab.errors import UserError

# Passes of the graph rewriter: float16 on a GPU, bfloat16 on a CPU that has instructions for it.
_ON_GPU = 'auto_mixed_precision'
_ON_CPU = 'auto_mixed_precision_onednn_bfloat16'
# Steps left out in a row, each with half the loss scale of the one before, until it is no use.
MOST_SKIPPED = 40
_CPU_JIT = '--tf_xla_cpu_global_jit'


def _rewriter_has(name):
    return name in rewriter_config_pb2.RewriterConfig.DESCRIPTOR.fields_by_name


def validate(options):
    """Raises UserError where this runtime has not got what `options`, a TrainingOptions, ask for.
    """
    if options.mixed_precision and not _rewriter_has(_ON_GPU):
        raise UserError('--mixed_precision needs the graph rewrite of TensorFlow 1.14 and later; '
                        'this is {}.'.format(compat.describe_runtime()))


def configure(config, options):
    """Sets the switches in a tf.ConfigProto; returns it."""
    if options.mixed_precision:
        for name in filter(_rewriter_has, (_ON_GPU, _ON_CPU)):
            setattr(config.graph_options.rewrite_options, name,
                    rewriter_config_pb2.RewriterConfig.ON)
    if options.xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
        # TensorFlow compiles for the CPU only where its environment says so, and looks there once,
        # when the first session is made.
        flags = os.environ.get('TF_XLA_FLAGS', '')
        if _CPU_JIT not in flags:
            os.environ['TF_XLA_FLAGS'] = (flags + ' ' + _CPU_JIT).strip()
    return config


def scaled(optimizer, options):
    """The optimizer, scaling the loss where float16 is to be used.

    Gradients in float16 would lose what is below 6e-8. The loss is multiplied before its gradients
    are taken and they are divided again; where one overflows, the step leaves everything as it was,
    `global_step` too, and the scale is halved (Micikevicius et al., "Mixed precision training",
    arXiv 1710.03740, section 3.2). The scale is not part of checkpoints.

    Args:
      optimizer: a tf.train.Optimizer.
      options: a TrainingOptions.

    Returns:
      A tf.train.Optimizer.
    """
    if not options.mixed_precision:
        return optimizer
    variables = tf.get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)
    before = list(variables)
    scaling = tf.train.experimental.MixedPrecisionLossScaleOptimizer(
        optimizer, tf.train.experimental.DynamicLossScale())
    for variable in [own for own in variables if not any(own is old for old in before)]:
        variables.remove(variable)
        tf.add_to_collection(tf.GraphKeys.LOCAL_VARIABLES, variable)
    return scaling


def report(session, options):
    """Logs a warning for each switch that has no effect on the devices of a session."""
    if not options.mixed_precision or any(
            device.device_type == 'GPU' for device in session.list_devices()):
        return
    if not _rewriter_has(_ON_CPU):
        logging.warning('--mixed_precision has no effect without a GPU in %s.',
                        compat.describe_runtime())
    else:
        logging.warning('--mixed_precision without a GPU computes in bfloat16, where the CPU has '
                        'instructions for it (avx512_bf16 or amx_bf16); elsewhere it has no '
                        'effect.')
