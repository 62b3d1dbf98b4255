"""The HTML, style and script of the gallery page; data only, see `deeplab.evaluation.gallery`."""

# Stands where the JSON of the pictures goes.
DATA_MARK = '@@DATA@@'

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Predictions</title>
<style>
  :root { --ink: #1d232b; --soft: #5d6875; --line: #d9dee4; --ground: #f5f6f8; }
  * { box-sizing: border-box; }
  body { margin: 0; font: 14px/1.4 system-ui, "DejaVu Sans", sans-serif; color: var(--ink);
         background: var(--ground); }
  header { position: sticky; top: 0; z-index: 1; background: #fff; padding: 10px 18px;
           border-bottom: 1px solid var(--line); }
  h1 { font-size: 17px; margin: 0 16px 0 0; display: inline-block; }
  label { margin-right: 14px; color: var(--soft); }
  select, input { font: inherit; padding: 2px 6px; }
  #count { color: var(--soft); }
  #legend { margin-top: 8px; max-height: 76px; overflow-y: auto; }
  .chip { display: inline-block; margin: 0 10px 3px 0; cursor: pointer; white-space: nowrap;
          border: 0; background: none; font: inherit; color: inherit; padding: 0 3px; }
  .chip.on { outline: 2px solid var(--ink); border-radius: 3px; }
  .chip i { display: inline-block; width: 18px; height: 11px; margin-right: 5px;
            border: 1px solid #0005; }
  main { padding: 14px 18px; }
  article { background: #fff; border: 1px solid var(--line); border-radius: 5px;
            padding: 10px 12px; margin-bottom: 14px; }
  .row { display: flex; gap: 10px; flex-wrap: wrap; }
  figure { margin: 0; flex: 1 1 260px; max-width: 480px; }
  img { width: 100%; display: block; background: #ddd; }
  figcaption { color: var(--soft); font-size: 12px; }
  h2 { font-size: 14px; margin: 0 0 6px; }
  h2 span { font-weight: normal; color: var(--soft); margin-left: 10px; }
  .classes { margin-top: 6px; font-size: 12px; }
</style>
<header>
  <h1 id="title"></h1>
  <label>sort by <select id="order">
    <option value="worst">IoU, worst first</option>
    <option value="best">IoU, best first</option>
    <option value="number">number</option>
    <option value="name">name</option>
  </select></label>
  <label>class <select id="class"><option value="">all</option></select></label>
  <label>name <input id="name" size="16" placeholder="part of the name"></label>
  <span id="count"></span>
  <div id="legend"></div>
</header>
<main id="list"></main>
<script type="application/json" id="data">@@DATA@@</script>
<script>
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const get = id => document.getElementById(id);
const make = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
const percent = share => (100 * share).toFixed(1) + ' %';
const scored = data.images.some(image => image.mean_iou !== undefined);

function chip(label, text) {
  const node = make('button', undefined, 'chip');
  const swatch = make('i');
  swatch.style.background = data.classes[label].color;
  node.append(swatch, text);
  node.addEventListener('click', () => {
    get('class').value = get('class').value === String(label) ? '' : String(label);
    show();
  });
  return node;
}

// The score pictures are sorted by: of the chosen class, or the mean over the picture's classes.
function score(image) {
  const chosen = get('class').value;
  if (chosen === '') return image.mean_iou;
  return image.class_iou ? image.class_iou[chosen] : undefined;
}

function card(image) {
  const article = make('article');
  const heading = make('h2', image.name || String(image.number));
  let facts = '#' + image.number + ', ' + image.width + ' x ' + image.height;
  if (image.mean_iou !== undefined) {
    facts += ', mean IoU ' + percent(image.mean_iou) +
        ', pixel accuracy ' + percent(image.pixel_accuracy);
  }
  heading.append(make('span', facts));
  const row = make('div', undefined, 'row');
  for (const panel of image.panels) {
    const figure = make('figure');
    const picture = make('img');
    picture.loading = 'lazy';
    picture.alt = panel.title + ' of ' + image.name;
    picture.width = image.width;
    picture.height = image.height;
    picture.style.height = 'auto';
    picture.src = panel.data;
    figure.append(picture, make('figcaption', panel.title));
    row.append(figure);
  }
  const classes = make('div', undefined, 'classes');
  for (const label of image.classes) {
    const iou = image.class_iou && image.class_iou[label];
    classes.append(chip(label, data.classes[label].name +
        (iou === undefined ? '' : ' ' + percent(iou))));
  }
  article.append(heading, row, classes);
  return article;
}

function show() {
  const chosen = get('class').value;
  const part = get('name').value.toLowerCase();
  const found = data.images.filter(image =>
      (chosen === '' || image.classes.includes(Number(chosen))) &&
      image.name.toLowerCase().includes(part));
  const byScore = (a, b) => (score(a) ?? 2) - (score(b) ?? 2) || a.number - b.number;
  const orders = {
    worst: byScore,
    best: (a, b) => (score(b) ?? -1) - (score(a) ?? -1) || a.number - b.number,
    number: (a, b) => a.number - b.number,
    name: (a, b) => a.name.localeCompare(b.name) || a.number - b.number,
  };
  found.sort(orders[get('order').value]);
  get('list').replaceChildren(...found.map(card));
  get('count').textContent = found.length + ' of ' + data.images.length + ' pictures';
  Array.from(get('legend').children).forEach((node, label) =>
      node.classList.toggle('on', String(label) === chosen));
}

document.title = get('title').textContent = data.title;
data.classes.forEach((entry, label) => {
  const option = make('option', entry.name);
  option.value = label;
  get('class').append(option);
  get('legend').append(chip(label, entry.name));
});
if (!scored) {
  get('order').querySelectorAll('[value=worst], [value=best]').forEach(node => node.remove());
}
for (const id of ['order', 'class', 'name']) get(id).addEventListener('input', show);
show();
</script>
</html>
"""
