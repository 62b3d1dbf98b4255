"""--label_weights of train.py: a list, or auto from the data set's report."""
import json
import os

import pytest

from deeplab import train
from deeplab.datasets import dataset_report
from deeplab.datasets import descriptions
from deeplab.datasets import inspection
from deeplab.training import job
from tests import tiny_run


@pytest.fixture(scope='module', name='data')
def _data(tmp_path_factory):
    return tiny_run.write_records(tmp_path_factory.mktemp('data'), 'train')


@pytest.fixture(name='train_with')
def _train_with(data, tmp_path, monkeypatch):
    """Of flags: (exit status, label weights of the network, those in train_config.json)."""
    seen = {}

    def run(options, model_options, make_dataset, on_start, **kwargs):
        os.makedirs(options.train_logdir)
        on_start()
        seen['weights'] = model_options.label_weights
        return job.Result(1, 0.0, None, None)
    monkeypatch.setattr(train.job, 'run', run)

    def train_with(*arguments):
        logdir = tmp_path / 'run'
        status = tiny_run.command(
            train, '--dataset=tiny', '--dataset_dir=' + data, '--train_logdir={}'.format(logdir),
            '--train_crop_size=33,33', *arguments)
        if status:
            return status, None, None
        config = json.loads((logdir / 'train_config.json').read_text())
        return status, seen['weights'], config['flags']['label_weights']
    return train_with


def test_weights_from_the_report_train_and_are_written_down(data, train_with, monkeypatch):
    path = os.path.join(data, descriptions.FILE_NAME)
    description = descriptions.read(path)
    statistics = inspection.split_statistics(description.shards('train', data), 1)
    summary = dataset_report.summarize(statistics, tiny_run.CLASSES, tiny_run.IGNORE)
    descriptions.save(description._replace(report={'splits': {'train': summary}}), path)
    logged = []
    monkeypatch.setattr(train.logging, 'info', lambda text, *values: logged.append(text % values))
    try:
        status, of_network, in_config = train_with('--label_weights=auto')
    finally:
        descriptions.save(description, path)
    assert status == 0
    assert of_network == in_config == summary['label_weights']
    assert len(of_network) == tiny_run.CLASSES and len(set(of_network)) > 1
    table = [text for text in logged if 'Weights of the classes' in text][0].splitlines()
    assert [line.split()[1] for line in table[3:]] == tiny_run.CLASS_NAMES
    assert [float(line.split()[2]) for line in table[3:]] == of_network


def test_a_list_stays_as_it_is(train_with):
    assert train_with('--label_weights=1,2,3,4.5') == (0, [1, 2, 3, 4.5], [1, 2, 3, 4.5])


def test_none_given_weighs_all_alike(train_with):
    assert train_with() == (0, 1.0, None)


@pytest.mark.parametrize('flags, status, parts', [
    (['--label_weights=auto'], 1, ['no report', 'inspect_dataset.py', '--save_report']),
    (['--label_weights=auto', '--label_weights=2'], 1, ['either auto or one number']),
    (['--label_weights=1,2'], 1, ['--label_weights=1.0,2.0', '4 classes', 'got 2']),
    (['--label_weights=much'], 2, ['numbers or the word auto'])])
def test_mistakes(train_with, capsys, flags, status, parts):
    assert train_with(*flags)[0] == status
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ')
    for part in parts:
        assert part in error
