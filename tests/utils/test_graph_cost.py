"""Counts of small graphs against counts by hand."""
import pytest
import tensorflow.compat.v1 as tf

from deeplab.utils import graph_cost


def _image(height=5, width=7, channels=4):
    return tf.placeholder(tf.float32, [1, height, width, channels])


def _multiply_adds(output):
    return graph_cost.multiply_adds(graph_cost.ancestors([output]))


def _types(output):
    return [operation.type for operation in graph_cost.ancestors([output])]


def test_a_plain_convolution():
    output = tf.nn.conv2d(_image(), tf.zeros([3, 3, 4, 8]), [1, 1, 1, 1], 'SAME')
    assert _multiply_adds(output) == (5 * 7) * (3 * 3) * 4 * 8


def test_a_strided_convolution():
    same = tf.nn.conv2d(_image(), tf.zeros([3, 3, 4, 8]), [1, 2, 2, 1], 'SAME')
    assert _multiply_adds(same) == (3 * 4) * (3 * 3) * 4 * 8
    valid = tf.nn.conv2d(_image(), tf.zeros([3, 3, 4, 8]), [1, 2, 2, 1], 'VALID')
    assert _multiply_adds(valid) == (2 * 3) * (3 * 3) * 4 * 8


def test_a_depthwise_convolution():
    output = tf.nn.depthwise_conv2d(_image(), tf.zeros([3, 3, 4, 2]), [1, 1, 1, 1], 'SAME')
    assert _multiply_adds(output) == (5 * 7) * (3 * 3) * 4 * 2


@pytest.mark.parametrize('rate', [2, 3])
def test_an_atrous_convolution_counts_at_its_real_size(rate):
    output = tf.nn.depthwise_conv2d(_image(), tf.zeros([3, 3, 4, 1]), [1, 1, 1, 1], 'SAME',
                                    rate=[rate, rate])
    assert 'SpaceToBatchND' in _types(output)
    assert _multiply_adds(output) == (5 * 7) * (3 * 3) * 4
    # 5 x 7 is no multiple of the rate: the padded batch that the profiler sees is larger.
    profiler = graph_cost.float_operations(graph_cost.ancestors([output]))
    assert profiler > 2 * (5 * 7) * (3 * 3) * 4


def test_a_dense_atrous_convolution_by_hand():
    # Rate 2 on 5 x 5: 2 positions of border on each side, 1 more to an even size, 10 x 10 in all.
    batch = tf.space_to_batch_nd(_image(5, 5), [2, 2], [[2, 3], [2, 3]])
    inner = tf.nn.conv2d(batch, tf.zeros([3, 3, 4, 8]), [1, 1, 1, 1], 'VALID')
    assert inner.shape.as_list() == [4, 3, 3, 8]
    output = tf.batch_to_space_nd(inner, [2, 2], [[0, 1], [0, 1]])
    assert _multiply_adds(output) == (5 * 5) * (3 * 3) * 4 * 8
    assert graph_cost.float_operations(graph_cost.ancestors([output])) == (
        2 * (4 * 3 * 3) * (3 * 3) * 4 * 8)


def test_what_the_outputs_do_not_need_is_not_counted():
    images = _image()
    wanted = tf.nn.conv2d(images, tf.zeros([1, 1, 4, 2]), [1, 1, 1, 1], 'SAME')
    tf.nn.conv2d(images, tf.zeros([3, 3, 4, 8]), [1, 1, 1, 1], 'SAME')
    assert _multiply_adds(wanted) == (5 * 7) * 4 * 2
    with tf.control_dependencies([wanted]):
        later = tf.identity(images)
    assert _multiply_adds(later) == (5 * 7) * 4 * 2


def test_float_operations_equal_the_profilers(capfd):
    net = tf.nn.conv2d(_image(), tf.get_variable('weights', [3, 3, 4, 8]), [1, 2, 2, 1], 'SAME')
    net = tf.nn.bias_add(net, tf.ones([8])) * 2.0
    output = tf.nn.softmax(tf.nn.avg_pool(net, [1, 2, 2, 1], [1, 1, 1, 1], 'VALID'))
    ours = graph_cost.float_operations(graph_cost.ancestors([output]))
    part = tf.graph_util.extract_sub_graph(output.graph.as_graph_def(), [output.op.name])
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(part, name='')
    options = tf.profiler.ProfileOptionBuilder.float_operation()
    options['output'] = 'none'
    assert ours == tf.profiler.profile(graph, options=options).total_float_ops
    assert ours > 2 * (3 * 4) * (3 * 3) * 4 * 8
    capfd.readouterr()


def test_batch_norm_counts_its_values():
    ones = tf.ones([4])
    output, _, _ = tf.nn.fused_batch_norm(_image(), ones, ones, ones, ones, is_training=False)
    assert graph_cost.batch_norm_elements(graph_cost.ancestors([output])) == 5 * 7 * 4


def test_activation_memory_of_a_chain_and_of_a_branch():
    images = _image(4, 4, 1)
    one = 4 * 4 * 4
    chain = tf.nn.relu(tf.reshape(tf.nn.relu(images), [16]))
    memory = graph_cost.activation_memory(graph_cost.ancestors([chain]), [chain])
    assert memory == (3 * one, 2 * one)
    branch = images + tf.nn.relu(tf.nn.relu(images))
    memory = graph_cost.activation_memory(graph_cost.ancestors([branch]), [branch])
    assert memory == (4 * one, 3 * one)


def test_activation_memory_leaves_weights_out():
    images = _image(4, 4, 1)
    output = tf.nn.conv2d(images, tf.get_variable('weights', [3, 3, 1, 2]), [1, 1, 1, 1], 'SAME')
    memory = graph_cost.activation_memory(graph_cost.ancestors([output]), [output])
    assert memory == (3 * 64, 3 * 64)


def test_unknown_shapes_are_an_error_that_names_the_tensor():
    images = tf.placeholder(tf.float32, [1, None, None, 4])
    output = tf.nn.conv2d(images, tf.zeros([3, 3, 4, 8]), [1, 1, 1, 1], 'SAME', name='first')
    with pytest.raises(ValueError, match='static shapes.*first'):
        _multiply_adds(output)


def test_variable_sizes():
    weights = tf.get_variable('weights', [3, 5])
    mean = tf.get_variable('moving_mean', [7], trainable=False)
    sizes = graph_cost.variable_sizes([weights, mean], [weights])
    assert sizes == graph_cost.Variables(
        parameters=15, count=2, elements=22, checkpoint_bytes=88,
        training_checkpoint_bytes=88 + 60 + 8)
