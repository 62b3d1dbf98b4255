"""The one file that knows which TensorFlow is running.

Every other module writes `import tensorflow.compat.v1 as tf` and `import tf_slim as slim` and
works the same on TensorFlow 1.15 and on current TensorFlow 2.x. Importing this module (both
packages, `deeplab` and `slim_nets`, do so first) makes that true:

* graph mode, version 1 variables and shapes, on whatever TensorFlow is installed;
* on TensorFlow 2.13 and later, the internal names that tf_slim 1.1.0 expects are put back, and its
  batch norm uses `deeplab.compat_batch_norm` in place of the Keras layer that is no longer there.

Nothing is changed on TensorFlow up to 2.12: an additional op in a graph would shift the op count,
and with it every initial value that is seeded by the graph.
"""
import contextlib
import glob
import os
import re
import sys
import tempfile
import warnings

# Messages of TensorFlow's C++ side below ERROR say nothing a user can act on, and without a GPU its
# one ERROR is that there is no GPU; whatever stops a run is raised as well. An explicit setting of
# the user's wins.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2' if glob.glob('/dev/nvidia[0-9]*') else '3')
# What TensorFlow 2.x says all the same while it is imported, before its log level is read.
_IMPORT_NOISE = re.compile(
    r'WARNING: All log messages before absl::InitializeLog|[IW]\d{4} |To enable the following')


@contextlib.contextmanager
def _without_import_noise():
    """Holds back what the process writes to stderr, then passes on what is not noise."""
    try:
        stderr = sys.stderr.fileno()
        kept = os.dup(stderr)
    except (OSError, ValueError, AttributeError):
        # No real stderr (a notebook, a test that captures it): nothing to hold back.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), stderr)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, stderr)
            os.close(kept)
            held.seek(0)
            for line in held.read().decode('utf-8', 'replace').splitlines():
                if not _IMPORT_NOISE.match(line):
                    print(line, file=sys.stderr)


with warnings.catch_warnings(), _without_import_noise():
    # TensorFlow 1.15 triggers one FutureWarning per quantised numpy type.
    warnings.simplefilter('ignore', category=FutureWarning)
    import tensorflow.compat.v1 as tf
    from tensorflow.python.framework import ops as _  # noqa: F401  (loads the rest of it)

TF_VERSION = tuple(int(part) for part in tf.__version__.split('.')[:2])
IS_TF1 = TF_VERSION[0] == 1

# First release whose internals tf_slim 1.1.0 does not find any more.
_FIRST_WITHOUT_SLIM_NAMES = (2, 13)


def describe_runtime() -> str:
    """Returns e.g. 'TensorFlow 1.15.5', for logs and for the saved configuration of a run."""
    return 'TensorFlow ' + tf.__version__


def pipeline_options(deterministic: bool):
    """Returns the `tf.data.Options` of an input pipeline; their names changed in 2.x.

    Every element is worked on by one thread: elements are small and many, so threads that share
    one of them wait for each other (a quarter of the CPU time of a pipeline of 321 x 321 crops).

    Args:
        deterministic: bool, whether elements keep a repeatable order.
    """
    options = tf.data.Options()
    # Asking for the attribute by getattr prints a deprecation on some releases, so go by version.
    if TF_VERSION >= (2, 6):
        options.deterministic = deterministic
        options.threading.max_intra_op_parallelism = 1
    else:
        options.experimental_deterministic = deterministic
        options.experimental_threading.max_intra_op_parallelism = 1
    return options


def tuned(fixed: int) -> int:
    """Returns how much a step of an input pipeline does ahead: tuned by tf.data itself on 2.x.

    On 1.15 the tuning thread takes more CPU time than the pictures (measured: 54 ms beside 3 ms of
    decoding and 70 ms of a MobileNetV2 on a 361 x 481 picture), so it is the number given.

    Args:
        fixed: number for 1.15: of calls of a map at once, or of elements to prefetch.
    """
    return fixed if IS_TF1 else tf.data.experimental.AUTOTUNE


def transform_graph(graph_def, input_names, output_names, transforms):
    """Runs TensorFlow's graph transform tool where it exists.

    Returns:
        The new GraphDef, or None where this TensorFlow (2.x) has no such tool.
    """
    if not IS_TF1:
        return None
    from tensorflow.tools.graph_transforms import TransformGraph
    return TransformGraph(graph_def, input_names, output_names, transforms)


def quantize_module():
    """Returns TensorFlow's quantisation rewriter (1.15), or None where it is gone (2.x)."""
    if not IS_TF1:
        return None
    from tensorflow.contrib import quantize
    return quantize


def _restore_names_for_slim():
    """Puts names that left TensorFlow's internal modules back where tf_slim looks for them."""
    from tensorflow.python.framework import indexed_slices
    from tensorflow.python.framework import ops
    from tensorflow.python.framework import tensor
    from tensorflow.python.ops import array_ops
    from tensorflow.python.ops import array_ops_stack
    from tensorflow.python.ops import cond
    from tensorflow.python.ops import control_flow_assert
    from tensorflow.python.ops import control_flow_case
    from tensorflow.python.ops import control_flow_ops
    from tensorflow.python.ops import variable_scope
    from tensorflow.python.ops import variable_v1
    from tensorflow.python.ops import while_loop

    moved = (
        (ops, 'Tensor', tensor.Tensor),
        (ops, 'IndexedSlices', indexed_slices.IndexedSlices),
        (array_ops, 'stack', array_ops_stack.stack),
        (array_ops, 'unstack', array_ops_stack.unstack),
        (control_flow_ops, 'Assert', control_flow_assert.Assert),
        (control_flow_ops, 'case', control_flow_case.case),
        (control_flow_ops, 'cond', cond.cond),
        (control_flow_ops, 'while_loop', while_loop.while_loop),
        (variable_scope, 'variable', variable_v1.VariableV1),
    )
    for module, name, value in moved:
        if not hasattr(module, name):
            setattr(module, name, value)


def _keep_slim_batch_norm_off_keras():
    from tf_slim.layers import layers as slim_layers

    from deeplab import compat_batch_norm
    slim_layers.normalization_layers = compat_batch_norm


def _prepare():
    if IS_TF1:
        return
    verbosity = tf.logging.get_verbosity()
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_v2_behavior()
    tf.logging.set_verbosity(verbosity)
    if TF_VERSION >= _FIRST_WITHOUT_SLIM_NAMES:
        _restore_names_for_slim()
        _keep_slim_batch_norm_off_keras()
        # tf_slim calls it in every convolution.
        warnings.filterwarnings('ignore', message='`layer.apply` is deprecated')


_prepare()
