"""The notebook, run from top to bottom, and what it calls."""
import base64
import io
import os

import numpy as np
from PIL import Image
import pytest

from deeplab import demo_notebook
from deeplab import errors
from deeplab.utils import image_files
from tests import color_graph
from tests import file_server
from tests import tiny_run

_NOTEBOOK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'deeplab',
                         'deeplab_demo.ipynb')


@pytest.fixture
def graph(tmp_path):
    return color_graph.write(tmp_path / 'colors.pb')


def test_the_notebook_runs_from_top_to_bottom(graph, tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='the extra demo (nbclient) is not installed')
    pytest.importorskip('ipykernel', reason='the extra demo (ipykernel) is not installed')
    import nbformat
    image_files.write_png(str(tmp_path / 'scene.png'), color_graph.picture())
    folder = tiny_run.write_records(tmp_path / 'data', class_names=list(color_graph.CLASS_NAMES))
    for name, value in (('MODEL', graph), ('PICTURE', str(tmp_path / 'scene.png')),
                        ('DATASET', folder + '/dataset.json')):
        monkeypatch.setenv('DEEPLAB_DEMO_' + name, value)
    notebook = nbformat.read(_NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert all(not cell.outputs for cell in cells), 'the notebook is kept without outputs'
    nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3', resources={
        'metadata': {'path': os.path.dirname(os.path.dirname(_NOTEBOOK))}}).execute()
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [output['data']['image/png'] for output in outputs
                if 'image/png' in output.get('data', {})]
    assert len(pictures) == 1
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert('RGB'))
    assert shown.shape[1] > 3 * shown.shape[0]
    for color in tiny_run.COLORS[:2] + tiny_run.COLORS[3:]:
        assert (shown == color).all(2).sum() > 100  # In the map and in the legend.
    text = ''.join(output.get('text', '') for output in outputs)
    assert '60 x 40 pixels' in text
    shares = {line.split()[1]: line.split()[2] for line in text.splitlines() if '%' in line}
    labels = color_graph.expected_labels(color_graph.picture())
    assert shares == {color_graph.CLASS_NAMES[label]: '{:.1%}'.format(np.mean(labels == label))
                      for label in (0, 1, 3)}
    assert ' ms' in text


def test_a_mistake_is_one_line_in_the_notebook_too(monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='the extra demo (nbclient) is not installed')
    pytest.importorskip('ipykernel', reason='the extra demo (ipykernel) is not installed')
    import nbformat
    cell = nbformat.v4.new_code_cell(
        'from deeplab import errors\ntry:\n    1 / 0\nexcept ArithmeticError:\n'
        '    raise errors.UserError("x.jpg: no such file.")')
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name='python3', allow_errors=True,
                            resources={'metadata': {'path': os.path.dirname(
                                os.path.dirname(_NOTEBOOK))}}).execute()
    output, = [each for each in cell.outputs if each.output_type == 'error']
    assert output.traceback == ['error: x.jpg: no such file.']


def test_pictures_come_from_files_addresses_and_nowhere(tmp_path):
    image = color_graph.picture()
    path = str(tmp_path / 'scene.png')
    image_files.write_png(path, image)
    assert (demo_notebook.read_picture(path) == image).all()
    with open(path, 'rb') as stream, file_server.serve({'/scene.png': stream.read()}) as served:
        assert (demo_notebook.read_picture(served.address + '/scene.png') == image).all()
        with pytest.raises(errors.UserError, match='answers 404'):
            demo_notebook.read_picture(served.address + '/absent.png')
    assert demo_notebook.read_picture('').shape == (96, 128, 3)


def test_a_checkpoint_and_a_model_of_the_zoo(graph, tmp_path, monkeypatch):
    tiny_run.write_checkpoint(tmp_path / 'train', keep_training_at=10)
    model = demo_notebook.open_model(str(tmp_path / 'train'))
    result = model.segment(tiny_run.photograph(33, 41))
    assert result.labels.shape == (33, 41)
    assert {each.name for each in result.classes} <= set(tiny_run.CLASS_NAMES)
    assert sum(each.share for each in result.classes) == pytest.approx(1)
    # As an unpacked row lies in the folder of the models.
    row = tmp_path / 'models' / 'mobilenetv2_coco_voc_trainaug'
    row.mkdir(parents=True)
    os.rename(graph, str(row / 'frozen_inference_graph.pb'))
    model = demo_notebook.open_model(row.name, models_dir=str(tmp_path / 'models'))
    assert [each.name for each in model.segment(color_graph.picture()).classes] == [
        'background', 'bird', 'aeroplane']


@pytest.mark.parametrize('model, flags, part', [
    ('mobilenetv2_coco_voc', [], "Did you mean 'mobilenetv2_coco_voc_train"),
    ('.', [], 'the folder holds no checkpoint'),
    ('.', ['--output_strid=8'], 'output_strid')])
def test_models_that_cannot_be_opened(model, flags, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.UserError, match=part):
        demo_notebook.open_model(model, more_flags=flags)
