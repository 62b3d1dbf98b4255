"""Settings for all tests: a fresh graph and fresh flags each, quiet TensorFlow, few threads."""
import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from deeplab import compat  # noqa: E402,F401  (has to prepare TensorFlow before anything else)

import pytest  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402
from absl import flags  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)


@pytest.fixture(autouse=True)
def fresh_graph():
    """Gives each test an empty default graph."""
    tf.reset_default_graph()
    yield
    tf.reset_default_graph()


@pytest.fixture(autouse=True)
def parsed_flags():
    """Makes the flags readable as if no command line had been given."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
