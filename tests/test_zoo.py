"""The model zoo: its page, downloads, archives at hand, evaluation beside published figures."""
import io
import json
import os
import shutil
import tarfile

from absl import flags
import pytest

from deeplab import cli
from deeplab import eval as eval_command
from deeplab import inference_flags
from deeplab import model_zoo
from deeplab import model_zoo_files
from deeplab import model_zoo_page
from deeplab import zoo
from deeplab.datasets import descriptions
from deeplab.utils import archives
from tests import file_server
from tests import shared_data
from tests import tiny_run

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ROW = 'tiny_row'


@pytest.fixture(scope='module')
def work(tmp_path_factory):
    """A folder with records, a checkpoint, and an archive of it as published ones are."""
    folder = tmp_path_factory.mktemp('zoo')
    tiny_run.write_records(folder / 'data')
    tiny_run.write_checkpoint(folder / 'model')
    (folder / 'model' / 'frozen_inference_graph.pb').write_bytes(b'graph')
    archives.pack(str(folder / 'model'), str(folder / 'tiny_2018.tar.gz'), inside='tiny')
    return folder


@pytest.fixture(autouse=True)
def tiny_row(work, monkeypatch):
    """Adds a row for that checkpoint."""
    network = {'model_variant': 'mobilenet_v2', 'depth_multiplier': 0.1, 'aspp_convs_filters': 16}
    evaluations = [
        dict(output_stride=16, scales=[1.0], flip=False, split='val', miou_percent=50.0,
             pixel_accuracy_percent=60.0, multiply_adds_billion=None),
        dict(output_stride=16, scales=[0.5, 1.0], flip=True, split='test', miou_percent=70.0,
             multiply_adds_billion=1.5)]
    row = dict(name=_ROW, archive=file_server.closed_address() + '/tiny_2018.tar.gz',
               dataset=str(work / 'data' / descriptions.FILE_NAME), pretrained_on='nothing',
               file_size_mb=0.1, frozen_graph=True, flags=network, input_size=[65, 65],
               evaluations=evaluations, published_counts='multiply_adds')
    rows = model_zoo.load_rows() + [row]
    monkeypatch.setattr(model_zoo, 'load_rows', lambda: rows)
    return row


@pytest.fixture
def models(tmp_path):
    return tmp_path / 'models'


@pytest.fixture
def mirror(work):
    with file_server.serve({'/zoo/tiny_2018.tar.gz':
                            (work / 'tiny_2018.tar.gz').read_bytes()}) as served:
        yield served


def run(models, *arguments, **values):
    return tiny_run.command(zoo, *list(arguments) + tiny_run.flag_values(
        models_dir=models, **values))


def fails(capsys, status, *parts):
    assert status in (1, 2)
    tiny_run.check_error(capsys, *parts)


def test_the_page_is_what_the_data_say(monkeypatch):
    monkeypatch.undo()
    with open(os.path.join(_ROOT, 'g3doc', 'model_zoo.md')) as stream:
        assert stream.read() == model_zoo_page.markdown(model_zoo.load_rows()), (
            'run: deeplab-zoo --write_markdown=g3doc/model_zoo.md')


def test_the_page_has_every_row_and_figure(monkeypatch):
    monkeypatch.undo()
    rows = model_zoo.load_rows()
    page = model_zoo_page.markdown(rows)
    for row in rows:
        # Once with its figures, once with its flags.
        line, = [line for line in page.splitlines() if '[{name}]({archive})'.format(**row) in line]
        assert '| `{}` |'.format(row['name']) in page
        for evaluation in row['evaluations'][:1]:
            assert '| {:g} |'.format(evaluation['miou_percent']) in line


def _scales(text):
    """Returns the scales that '0.5:0.25:1.75' or '1.0' means."""
    begin, step, end = map(float, text.split(':') if ':' in text else (text, '1', text))
    return [begin + step * number for number in range(int(round((end - begin) / step)) + 1)]


def test_the_rows_are_the_published_ones(monkeypatch):
    monkeypatch.undo()
    with open(shared_data.path('facts/model_zoo.json')) as stream:
        published = json.load(stream)['rows']
    rows = model_zoo.load_rows()
    assert [row['name'] for row in rows] == [fact['name'] for fact in published]
    # Told in the note of that file: what was published as multiply-adds of these two.
    noted = {'mobilenetv3_large_cityscapes_trainfine': 15.95,
             'mobilenetv3_small_cityscapes_trainfine': 4.63}
    for row, fact in zip(rows, published):
        assert (row['archive'], row['dataset'], row['file_size_mb'], row['frozen_graph']) == (
            fact['archive'], fact['dataset'], fact['file_size_MB'], fact['has_frozen_graph'])
        assert row['flags']['model_variant'] == fact['model_variant']
        assert row['flags'].get('decoder_output_stride', [None]) == [fact['decoder_output_stride']]
        if isinstance(fact['input_size'], list):
            assert row['input_size'] == fact['input_size']
        assert len(row['evaluations']) == len(fact['evaluations'])
        for evaluation, told in zip(row['evaluations'], fact['evaluations']):
            assert evaluation['scales'] == _scales(told['scales'])
            told.setdefault('multiply_adds_billion', noted.get(row['name']))
            for key in ('output_stride', 'flip', 'split', 'miou_percent',
                        'pixel_accuracy_percent', 'multiply_adds_billion'):
                assert evaluation.get(key) == told.get(key), (row['name'], key)
            rates = {16: [6, 12, 18], 8: [12, 24, 36]}.get(evaluation['output_stride'])
            assert evaluation.get('atrous_rates') == (
                rates if fact['aspp'] and fact['aspp'][0].isdigit() else None)


@pytest.mark.parametrize('row', model_zoo.load_rows(), ids=lambda row: row['name'])
def test_the_flags_of_a_row_build_its_network(row):
    classes = row['dataset'] and descriptions.load(row['dataset']).num_classes
    for evaluation in row['evaluations']:
        class Probe:  # What `tiny_run.command` runs, under the flags of `deeplab-eval`.
            __file__ = 'probe'
            define_flags = staticmethod(eval_command.define_flags)

            @staticmethod
            def main(_):
                options = inference_flags.inference_options()
                assert list(options.eval_scales) == evaluation['scales']
                assert options.add_flipped_images == evaluation['flip']
                assert options.resize_range.max_size == row.get('longest_side')
                # The pictures of Cityscapes have 1024 x 2048 pixels.
                assert row['dataset'] != 'cityscapes' or cli.size_from_flag(
                    flags.FLAGS.eval_crop_size) == [1025, 2049]
                assert inference_flags.model_options(
                    classes, row['input_size']) == model_zoo.model_options(
                        row, evaluation, classes)._replace(
                            image_pooling_stride=row['flags'].get('image_pooling_stride', [1, 1]))
        arguments = (model_zoo.network_flags(row, evaluation)
                     + model_zoo.evaluation_flags(row, evaluation))
        before = os.getcwd()
        os.chdir(_ROOT)  # The file of the dense prediction cell is named from there.
        try:
            assert tiny_run.command(Probe, *arguments + tiny_run.flag_values(
                eval_logdir='x', checkpoint_dir='x', dataset_dir='x')) == 0
        finally:
            os.chdir(before)


def test_list_and_show(models, capsys):
    assert run(models) == 0
    text = capsys.readouterr().out
    assert all(row['name'] in text for row in model_zoo.load_rows())
    assert run(models, '--json', '--show=xception_41_imagenet') == 0
    assert json.loads(capsys.readouterr().out)['file_size_mb'] == 288
    assert run(models, show=_ROW) == 0
    text = capsys.readouterr().out
    assert '--model_variant=mobilenet_v2 --output_stride=16 --aspp_convs_filters=16' in text
    assert '--eval_crop_size=65,65 --eval_scales=0.5,1 --add_flipped_images' in text


def test_download_once_then_without_network(models, mirror, work, capsys):
    mirror.cuts = [2000]
    mirror.with_checksum = True
    assert run(models, download=_ROW, mirror=mirror.address + '/zoo/') == 0
    text = capsys.readouterr().out
    assert '--tf_initial_checkpoint={}'.format(models / _ROW / 'tiny' / 'model.ckpt-10') in text
    assert os.listdir(str(models)) == [_ROW]
    asked = len(mirror.ranges)
    assert asked == 2
    assert run(models, download=_ROW) == 0
    assert len(mirror.ranges) == asked
    capsys.readouterr()
    assert run(models) == 0
    line, = [line for line in capsys.readouterr().out.splitlines() if _ROW in line]
    assert line.endswith('yes')
    shutil.rmtree(str(models))
    assert run(models, '--keep_archive', download=_ROW, mirror=mirror.address + '/zoo') == 0
    assert sorted(os.listdir(str(models))) == ['tiny_2018.tar.gz', _ROW]
    shutil.rmtree(str(models / _ROW))
    # The archive lies there: no network is needed, and it is not ours to delete.
    assert run(models, download=_ROW) == 0
    assert sorted(os.listdir(str(models))) == ['tiny_2018.tar.gz', _ROW]


def test_without_a_network_it_says_what_to_do(models, capsys):
    fails(capsys, run(models, download=_ROW), 'cannot be reached', 'Is there a network?',
          '--archive=PATH')
    assert os.listdir(str(models)) == []


def test_a_wrong_address_and_a_wrong_checksum(models, mirror, tiny_row, capsys):
    fails(capsys, run(models, download=_ROW, mirror=mirror.address), 'answers 404')
    tiny_row['sha256'] = 'ab' * 32
    fails(capsys, run(models, download=_ROW, mirror=mirror.address + '/zoo'), 'expected abab')
    assert os.listdir(str(models)) == []


def test_archives_that_are_not_used(models, mirror, work, tmp_path, capsys):
    whole = (work / 'tiny_2018.tar.gz').read_bytes()
    half = tmp_path / 'half.tar.gz'
    half.write_bytes(whole[:len(whole) // 2])
    fails(capsys, run(models, download=_ROW, archive=half), '--archive=', 'half.tar.gz',
          'only half downloaded')
    # The server itself has half of it: nothing is kept, the next call begins anew.
    mirror.files['/zoo/tiny_2018.tar.gz'] = whole[:len(whole) // 2]
    fails(capsys, run(models, download=_ROW, mirror=mirror.address + '/zoo'),
          'tiny_2018.tar.gz', 'only half downloaded')
    assert os.listdir(str(models)) == []
    climbing = tmp_path / 'climbing.tar'
    with tarfile.open(str(climbing), 'w') as archive:
        archive.addfile(tarfile.TarInfo('tiny/../../../evil'), io.BytesIO())
    fails(capsys, run(models, download=_ROW, archive=climbing), 'climbing.tar', 'leads out of')
    empty = tmp_path / 'empty.zip'
    archives.pack(str(half), str(empty))
    fails(capsys, run(models, evaluate=_ROW, archive=empty, dataset_dir=work / 'data'),
          'empty.zip', 'holds no checkpoint')
    fails(capsys, run(models, evaluate=_ROW, archive=tmp_path / 'absent',
                      dataset_dir=work / 'data'), 'absent', 'no such folder or checkpoint')
    # None of them is in the way of the next one; a wrong name is not taken for a place to put it.
    fails(capsys, run(models, download=_ROW, archive=empty), '--archive=', 'empty.zip',
          'holds neither a checkpoint')
    asked = len(mirror.ranges)
    fails(capsys, run(models, download=_ROW, archive=tmp_path / 'absent.tar.gz',
                      mirror=mirror.address + '/zoo'), 'absent.tar.gz: there is no such file')
    fails(capsys, run(models, download=_ROW, archive=work / 'model'), 'a folder')
    assert len(mirror.ranges) == asked
    assert os.listdir(str(models)) == []
    (models / 'tiny_2018.tar.gz').write_bytes(half.read_bytes())
    fails(capsys, run(models, download=_ROW), 'only half downloaded', 'delete it')
    assert run(models, download=_ROW, archive=work / 'tiny_2018.tar.gz') == 0


def test_standard_output_is_json_alone(models, mirror, capsys):
    assert run(models, '--json', download=_ROW, mirror=mirror.address + '/zoo') == 0
    told = json.loads(capsys.readouterr().out)
    assert told['row'] == _ROW and told['checkpoint'].endswith('tiny/model.ckpt-10')


@pytest.mark.parametrize('name', ['tiny_2018.tar.gz', 'model'])
def test_an_archive_at_hand_is_evaluated_beside_its_figures(models, work, tmp_path, name, capsys):
    assert run(models, '--json', evaluate=_ROW, archive=work / name,
               dataset_dir=work / 'data', eval_logdir=tmp_path / 'log') == 0
    result, = json.loads(capsys.readouterr().out)
    assert not models.exists()
    metrics = json.loads((tmp_path / 'log' / 'metrics.json').read_text())
    miou, accuracy = result['figures']
    assert miou['published'] == 50.0 and accuracy['published'] == 60.0
    assert miou['measured'] == pytest.approx(100 * metrics['mean_iou'], abs=1e-3)
    assert accuracy['difference'] == pytest.approx(100 * metrics['pixel_accuracy'] - 60, abs=2e-3)
    assert metrics['crop_size'] == [65, 65]
    if name == 'model':
        assert tiny_run.command(eval_command, *tiny_run.MODEL_FLAGS + tiny_run.flag_values(
            checkpoint_dir=work / 'model', dataset=work / 'data' / descriptions.FILE_NAME,
            dataset_dir=work / 'data', eval_crop_size='65,65',
            eval_logdir=tmp_path / 'other')) == 0
        other = json.loads((tmp_path / 'other' / 'metrics.json').read_text())
        assert other['mean_iou'] == metrics['mean_iou']


def test_weights_of_another_row_are_named_as_that(models, work, tiny_row, capsys):
    tiny_row['flags']['depth_multiplier'] = 0.35
    fails(capsys, run(models, evaluate=_ROW, archive=work / 'model', dataset_dir=work / 'data'),
          'not the weights of tiny_row', 'has shape')


def test_all_settings_of_a_downloaded_row(models, mirror, work, capsys):
    assert run(models, evaluate=_ROW, mirror=mirror.address + '/zoo', setting=0,
               dataset_dir=work / 'data') == 0
    text = capsys.readouterr().out
    first, second = text.split(_ROW + ' at output stride 16, ')[1:]
    assert first.startswith('scales 1, val (') and ' images)' in first.splitlines()[0]
    assert second.startswith('scales 0.5,1 flip, val')
    assert 'mIoU %             ' in first and '50.00' in first
    assert 'More than 0.1 points off' in first
    assert 'Published for test, measured on val' in second


@pytest.mark.parametrize('values, parts', [
    (dict(evaluate='xception_65_imagenet'), ['a backbone to train from']),
    (dict(evaluate=_ROW, setting=3), ['--setting=3', 'has 2 published evaluations']),
    (dict(evaluate=_ROW), ['--dataset_dir must name']),
    (dict(evaluate=_ROW, dataset_dir='absent'), ['absent']),
    (dict(evaluate='tiny_rows'), ['--evaluate=tiny_rows: no such row', "Did you mean 'tiny_row'"]),
    (dict(show=_ROW, model_variant='xception_65'), ['--model_variant: the rows of the model zoo']),
    (dict(show=_ROW, download=_ROW), ['--show and --download: give one']),
    (dict(archive='x.zip'), ['--archive=x.zip: say whose it is'])])
def test_mistakes_are_one_line(models, values, parts, capsys):
    fails(capsys, run(models, **values), *parts)
    assert not models.exists()


def test_a_frozen_graph_alone_is_found_but_not_evaluated(models, work, tmp_path, capsys):
    folder = tmp_path / 'only'
    (folder / 'deep').mkdir(parents=True)
    (folder / 'deep' / 'frozen_inference_graph.pb').write_bytes(b'graph')
    model = model_zoo_files.find_model(str(folder))
    assert model.checkpoint is None and model.frozen_graph.endswith('inference_graph.pb')
    fails(capsys, run(models, evaluate=_ROW, archive=folder, dataset_dir=work / 'data'),
          'a frozen graph only')


def test_a_checkpoint_at_hand_may_be_named_by_its_prefix(work):
    with model_zoo_files.at_hand(str(work / 'model' / 'model.ckpt-10')) as model:
        assert model == (str(work / 'model'), str(work / 'model' / 'model.ckpt-10'), None)


def test_another_archive_does_not_replace_a_model(models, work, capsys):
    archive = work / 'tiny_2018.tar.gz'
    assert run(models, download=_ROW, archive=archive) == 0
    assert archive.exists()
    capsys.readouterr()
    fails(capsys, run(models, download=_ROW, archive=archive), 'holds this model already')
