"""TF_CONFIG: what it makes of a process, and what it says when wrong."""
import json

import pytest

from deeplab.errors import UserError
from deeplab.training import cluster_config
from deeplab.training import options as training_options

_CHIEF = {'chief': ['a:1'], 'worker': ['b:2', 'c:3'], 'ps': ['d:4', 'e:5']}
_NO_CHIEF = {'worker': ['a:1', 'b:2'], 'ps': ['d:4']}


def _value(cluster, job=None, index=0, **more):
    return json.dumps(dict(cluster=cluster, task={'type': job, 'index': index}, **more))


@pytest.mark.parametrize('cluster, job, index, expected', [
    (_CHIEF, 'chief', 0, ('worker', 0, 'a:1')),
    (_CHIEF, 'worker', 0, ('worker', 1, 'b:2')),
    (_CHIEF, 'worker', 1, ('worker', 2, 'c:3')),
    (_CHIEF, 'worker', '1', ('worker', 2, 'c:3')),
    (_CHIEF, 'ps', 1, ('ps', 1, 'e:5')),
    (dict(_NO_CHIEF, master=['m:9']), 'master', 0, ('worker', 0, 'm:9')),
    (dict(_NO_CHIEF, master=['m:9']), 'worker', 1, ('worker', 2, 'b:2')),
    (_NO_CHIEF, 'worker', 0, ('worker', 0, 'a:1')),
    (_NO_CHIEF, 'worker', 1, ('worker', 1, 'b:2')),
    (dict(_NO_CHIEF, evaluator=['v:7']), 'ps', 0, ('ps', 0, 'd:4')),
    ({'chief': ['[::1]:1'], 'ps': ['[::1]:2']}, 'chief', 0, ('worker', 0, '[::1]:1')),
])
def test_places(cluster, job, index, expected):
    members = cluster_config.from_environment(_value(cluster, job, index, environment='cloud'))
    assert (members.job, members.task, members.address) == expected
    assert members.is_ps == (expected[0] == 'ps')
    options = members.applied_to(training_options.TrainingOptions(train_logdir='x'))
    assert options.master == 'grpc://' + expected[2]
    assert options.num_replicas == len(members.workers)
    assert options.num_ps_tasks == len(cluster['ps'])
    assert options.task == (0 if members.is_ps else expected[1])
    training_options.validate(options)


def test_the_chief_comes_first():
    members = cluster_config.from_environment(_value(_CHIEF, 'ps'))
    assert members.workers == ['a:1', 'b:2', 'c:3']
    assert members.servers == ['d:4', 'e:5']


@pytest.mark.parametrize('value', [
    None, '', '  ', '{}', '{"environment": "cloud"}', '{"cluster": {}, "task": {}}',
    _value({'chief': ['a:1']}, 'chief'), _value({'worker': ['a:1']}, 'worker')])
def test_no_cluster(value):
    assert cluster_config.from_environment(value) is None


@pytest.mark.parametrize('value, parts', [
    ('{"cluster": ', ['not JSON', '{"cluster": ']),
    ('[1]', ['JSON object', '[1]']),
    ('"a:1"', ['JSON object']),
    (json.dumps({'task': {'type': 'ps', 'index': 0}}), ['"cluster"', 'null', 'Example']),
    (json.dumps({'cluster': _CHIEF}), ['"task"', 'null']),
    (json.dumps({'cluster': ['a:1'], 'task': {'type': 'ps', 'index': 0}}), ['"cluster"']),
    (json.dumps({'sparseCluster': {}}), ['sparseCluster', 'enableDynamicWorker']),
    (json.dumps({'cluster': _CHIEF, 'task': {'index': 0}}), ['lacks "type"']),
    (json.dumps({'cluster': _CHIEF, 'task': {'type': 'ps'}}), ['lacks "index"']),
    (_value(_CHIEF, 'worker', 2), ['index is 2', '"worker"', '2 addresses', 'highest index is 1']),
    (_value(_CHIEF, 'chief', 1), ['index is 1', '1 address:', 'highest index is 0']),
    (_value(_CHIEF, 'worker', -1), ['index is -1']),
    (_value(_CHIEF, 'worker', 'x'), ['whole number', '"x"']),
    (_value(_CHIEF, 'worker', True), ['whole number', 'true']),
    (_value(_CHIEF, 'worker', 1.0), ['whole number', '1.0']),
    (_value(_NO_CHIEF, 'chief'), ['"chief"', 'ps, worker']),
    (_value(_CHIEF, ['ps']), ['["ps"]']),
    (_value(_CHIEF, 'evaluator'), ['"evaluator"', 'deeplab/eval.py', '--eval_every_steps']),
    (_value(dict(_CHIEF, helper=['x:1']), 'ps'), ['"helper"', 'chief, master, worker, ps']),
    (_value(dict(_CHIEF, master=['x:1']), 'ps'), ['"chief" and a "master"']),
    (_value(dict(_NO_CHIEF, chief=['x:1', 'y:1']), 'ps'), ['one "chief"', 'got 2']),
    (_value(dict(_CHIEF, ps=[]), 'chief'), ['"ps"', 'list of addresses', '[]']),
    (_value(dict(_CHIEF, ps='d:4'), 'chief'), ['"ps"', '"d:4"']),
    (_value(dict(_CHIEF, ps=['d']), 'chief'), ['"ps"', '"d"', 'host:port']),
    (_value(dict(_CHIEF, ps=['d:x']), 'chief'), ['"d:x"']),
    (_value(dict(_CHIEF, ps=['d:70000']), 'chief'), ['"d:70000"']),
    (_value(dict(_CHIEF, ps=[4]), 'chief'), ['4', 'host:port']),
    (_value(dict(_CHIEF, ps=['a:1']), 'chief'), ['a:1 is given twice', '"chief"', '"ps"']),
    (_value({'ps': ['a:1']}, 'ps'), ['neither a "chief" nor a "worker"']),
    (_value({'worker': ['a:1', 'b:1']}, 'worker'), ['2 workers', 'add a job "ps"']),
])
def test_mistakes_are_named(value, parts):
    with pytest.raises(UserError) as caught:
        cluster_config.from_environment(value)
    message = str(caught.value)
    assert message.startswith('TF_CONFIG') and '\n' not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize('given', [
    {'task': 2}, {'num_replicas': 2}, {'num_ps_tasks': 0}, {'master': 'grpc://x:1'}])
def test_flags_that_contradict_are_refused(given):
    name, value = list(given.items())[0]
    with pytest.raises(UserError) as caught:
        cluster_config.from_environment(_value(_CHIEF, 'worker', 0), given)
    assert '--{}={} contradicts TF_CONFIG'.format(name, value) in str(caught.value)


def test_flags_that_agree_pass():
    given = {'task': 1, 'num_replicas': 3, 'num_ps_tasks': 2, 'master': 'grpc://b:2'}
    assert cluster_config.from_environment(_value(_CHIEF, 'worker', 0), given).task == 1
    # The same flags on all processes: a parameter server has no number among the workers.
    assert cluster_config.from_environment(
        _value(_CHIEF, 'ps', 0), {'task': 1, 'num_replicas': 3}).is_ps
