'use strict';
// The numbers of one or more timelines are in #timelines, as timeline/src/encode.rs says. Nothing is loaded from anywhere.

// A column: differences in base 36; `*` and a count stand for numbers that do not change.
function column(text) {
  const numbers = [];
  let now = 0;
  for (const part of text ? text.split(',') : []) {
    if (part[0] === '*') {
      for (let left = parseInt(part.slice(1), 36); left > 0; left--) numbers.push(now);
    } else {
      now += parseInt(part, 36);
      numbers.push(now);
    }
  }
  return numbers;
}

// A map after the one before: letters, each with how many cells are like it.
function cells(text, before) {
  let letters = '';
  for (const [, letter, count] of text.matchAll(/([A-Z])([0-9a-z]*)/g)) {
    const length = count ? parseInt(count, 36) : 1;
    letters += letter === 'Y' ? before.slice(letters.length, letters.length + length) : letter.repeat(length);
  }
  return letters;
}

function pin(text) {
  if (!text) return null;
  const [offset, bytes, slot, live, all] = text.slice(1).split('.').map((number) => parseInt(number, 36));
  return { kind: text[0], offset, bytes, slot, live, all };
}

function runs(text) {
  const [end, ...others] = text.split(';');
  const [bytes, below] = end.split('|');
  const free = others.map((run) => {
    const [offset, length, under, over] = run.split('|');
    return { offset: parseInt(offset, 36), bytes: parseInt(length, 36), below: pin(under), above: pin(over) };
  });
  return { end: end ? { bytes: parseInt(bytes, 36), pin: pin(below) } : null, free };
}

// A timeline as it stands in a page, with everything at hand.
function decode(raw) {
  if (raw.format !== 1) throw new Error('made by another version');
  const columns = {};
  for (const [name, text] of Object.entries(raw.columns)) columns[name] = column(text);
  const frames = columns.call.length;
  columns.heap = columns.call.map((_, at) => STATES.reduce((sum, { name }) => sum + columns[name][at], 0));
  const maps = [];
  for (const text of raw.map.frames) maps.push(cells(text, maps.at(-1) ?? ''));
  let last = '';
  const pins = raw.runs.map((text) => { last = text === 0 ? last : text; return last; });
  const classes = raw.classes.map(({ slot, live, bytes }) => ({ slot, live: column(live), bytes: column(bytes) }));
  return { ...raw, columns, frames, maps, pins, classes, heapPeak: columns.heap.reduce((most, now) => Math.max(most, now), 0) };
}

// What memory from the kernel is, from the bottom of the chart to its top.
const STATES = [
  { name: 'liveSmall', color: '--small', says: 'live, in slabs' },
  { name: 'liveLarge', color: '--large', says: 'live, blocks of their own' },
  { name: 'metadata', color: '--meta', says: 'metadata' },
  { name: 'freeSmall', color: '--slots', says: 'free slots in slabs' },
  { name: 'freeDirty', color: '--dirty', says: 'free runs that may hold memory' },
  { name: 'freeClean', color: '--clean', says: 'free runs without memory' },
];

const grouped = (number) => Math.round(number).toLocaleString('en-US');
const counted = (number, word) => `${grouped(number)} ${word}${number === 1 ? '' : 's'}`;
const share = (part, all) => (all > 0 ? `${Math.round((100 * part) / all)} %` : '0 %');

// A length that people can read.
function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; bytes >= 10240 && unit < 3; unit++) bytes /= 1024;
  return unit === 0 ? counted(bytes, 'byte') : `${bytes < 100 ? bytes.toFixed(1) : grouped(bytes)} ${units[unit]}`;
}

function pinWords(it) {
  const where = `at ${grouped(it.offset)}`;
  switch (it.kind) {
    case 'S': return `a slab of ${size(it.bytes)} ${where} with slots of ${grouped(it.slot)}: ${grouped(it.live)} of ${grouped(it.all)} live`;
    case 'B': return `a block of ${size(it.bytes)} ${where}`;
    case 'F': return `memory of another user of the break, ${size(it.bytes)} ${where}`;
    default: return `metadata of ${size(it.bytes)} ${where}`;
  }
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent?.append(made);
  return made;
}

function legend(list, entries) {
  list.replaceChildren();
  for (const { color: name, says, faded } of entries) {
    const item = element('li', '', list);
    const swatch = element('i', '', item);
    swatch.style.background = `var(${name})`;
    if (faded !== undefined) swatch.style.opacity = faded;
    item.append(says);
  }
}

// The canvas in the pixels of the screen, cleared.
function context(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  if (height) canvas.style.height = `${height}px`;
  const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.max(1, Math.round(wide * scale));
  canvas.height = Math.max(1, Math.round(high * scale));
  const draw = canvas.getContext('2d');
  draw.setTransform(scale, 0, 0, scale, 0, 0);
  return [draw, wide, high];
}

// Areas one on the other, each `{ color, values }`, up to `most`.
function areas(canvas, all, most, frames) {
  const [draw, wide, high] = context(canvas);
  const x = (at) => (frames > 1 ? (at * wide) / (frames - 1) : wide / 2);
  const y = (value) => high - (value / Math.max(1, most)) * (high - 14);
  const below = new Array(frames).fill(0);
  for (const { color: name, values } of all) {
    draw.beginPath();
    for (let at = 0; at < frames; at++) draw.lineTo(x(at), y(below[at] + values[at]));
    if (frames === 1) { draw.lineTo(wide, y(below[0] + values[0])); draw.lineTo(wide, y(below[0])); draw.lineTo(0, y(below[0])); draw.lineTo(0, y(below[0] + values[0])); }
    for (let at = frames - 1; at >= 0; at--) {
      draw.lineTo(x(at), y(below[at]));
      below[at] += values[at];
    }
    draw.fillStyle = color(name);
    draw.fill();
  }
  draw.fillStyle = color('--soft');
  draw.font = '12px system-ui, sans-serif';
  draw.fillText(size(most), 4, 11);
  return [draw, x, high];
}

function cursor([draw, x, high], at) {
  draw.fillStyle = color('--cursor');
  draw.fillRect(Math.max(0, x(at) - 1), 0, 2, high);
}

// The classes with the most live bytes at any time by name, the others together, and blocks of their own.
function bySize(timeline) {
  const peak = ({ slot, live }) => slot * live.reduce((most, now) => Math.max(most, now), 0);
  const small = timeline.columns.liveSmall.some((bytes) => bytes > 0);
  const sorted = small ? [...timeline.classes].sort((one, other) => peak(other) - peak(one)) : [];
  const bytesOf = (classes) => timeline.columns.call.map((_, at) => classes.reduce((sum, { slot, live }) => sum + slot * live[at], 0));
  const named = sorted.slice(0, 6).sort((one, other) => one.slot - other.slot);
  const list = named.map((one, at) => ({ color: `--c${at}`, says: `slots of ${grouped(one.slot)}`, values: bytesOf([one]) }));
  if (sorted.length > 6) list.push({ color: '--c6', says: 'other slots', values: bytesOf(sorted.slice(6)) });
  list.push({ color: '--c7', says: 'blocks of their own', values: timeline.columns.liveLarge });
  return list;
}

const ROW = 64;
const MIXED = { M: '--meta', X: '--foreign', L: '--large', Z: '--clean' };
const MAP_LEGEND = [
  { color: '--small', says: 'slab, full' }, { color: '--small', says: 'slab, half in use', faded: 0.6 },
  { color: '--small', says: 'slab, empty', faded: 0.2 }, { color: '--large', says: 'block of its own' },
  { color: '--meta', says: 'metadata' }, { color: '--clean', says: 'free' }, { color: '--foreign', says: 'of another user' },
  { color: '--c6', says: 'several; stronger where more is used' },
];

function drawMap(canvas, letters, most) {
  const rows = Math.max(1, Math.ceil(most / ROW));
  const columns = Math.min(ROW, Math.max(1, most));
  const side = Math.max(3, Math.min(18, Math.floor((canvas.clientWidth || 640) / columns)));
  const [draw] = context(canvas, rows * side + 2);
  const shades = { ...MIXED };
  for (const name in shades) shades[name] = color(shades[name]);
  const [slab, mixed] = [color('--small'), color('--c6')];
  for (let at = 0; at < letters.length; at++) {
    const letter = letters[at];
    const code = letter.charCodeAt(0);
    const isSlab = letter <= 'K';
    draw.globalAlpha = isSlab ? 0.2 + 0.08 * (code - 65) : shades[letter] ? 1 : 0.25 + 0.07 * (code - 78);
    draw.fillStyle = isSlab ? slab : shades[letter] ?? mixed;
    draw.fillRect((at % ROW) * side + 1, Math.floor(at / ROW) * side + 1, side - 1, side - 1);
  }
  draw.globalAlpha = 1;
}

// What happened, the most important first: wrong pointers, then the frames in which the most came from the kernel or went back.
function events(timeline) {
  const { raised, lowered, returned, call } = timeline.columns;
  const list = timeline.misuses.map(([at, text]) => ({ at, text, wrong: true }));
  const moves = call.map((at, frame) => {
    const parts = [];
    if (raised[frame]) parts.push(`the break was raised by ${size(raised[frame])}`);
    if (lowered[frame]) parts.push(`lowered by ${size(lowered[frame])}`);
    if (returned[frame]) parts.push(`${size(returned[frame])} discarded or unmapped`);
    return { at, text: parts.join(', '), weight: raised[frame] + 2 * lowered[frame] + 2 * returned[frame] };
  });
  const largest = moves.filter(({ weight }) => weight > 0).sort((one, other) => other.weight - one.weight).slice(0, 24);
  return [...list, ...largest.sort((one, other) => one.at - other.at)];
}

// One timeline on the page.
class Panel {
  constructor(all, first, moved) {
    this.all = all;
    this.moved = moved;
    this.root = document.getElementById('panel').content.firstElementChild.cloneNode(true);
    this.part = (name) => this.root.querySelector(`.${name}`);
    this.slider = this.part('slider');
    this.part('which').addEventListener('change', (event) => this.show(Number(event.target.value)));
    this.slider.addEventListener('input', () => { this.draw(); this.moved(this); });
    this.part('back').addEventListener('click', () => this.go(this.at - 1));
    this.part('on').addEventListener('click', () => this.go(this.at + 1));
    for (const name of ['states', 'sizes']) {
      const go = (event) => { if (event.buttons || event.type === 'click') this.goTo(event.offsetX / this.part(name).clientWidth); };
      this.part(name).addEventListener('click', go);
      this.part(name).addEventListener('pointermove', go);
    }
    this.choose();
    this.first = first;
  }

  get at() { return Number(this.slider.value); }

  get fraction() { return this.timeline.frames > 1 ? this.at / (this.timeline.frames - 1) : 1; }

  choose() {
    const which = this.part('which');
    const chosen = which.value;
    which.replaceChildren();
    this.all.forEach(({ title, heap }, at) => { element('option', `${title}, ${heap}`, which).value = at; });
    which.value = chosen;
    this.part('choose').hidden = this.all.length < 2;
  }

  show(number) {
    const timeline = this.all[number];
    this.timeline = timeline;
    this.part('which').value = number;
    const { calls, blocks, bytes, peakBlocks, peakBytes, leftBlocks, leftBytes, threads, unseen, refused, misuses } = timeline.totals;
    this.root.querySelector('h2').textContent = `${timeline.title}, on ${timeline.heap}`;
    const words = [`${counted(calls, 'call')} of ${counted(threads, 'thread')} for ${counted(blocks, 'block')} of ${size(bytes)} in all`,
      `at most ${grouped(peakBlocks)} live with ${counted(peakBytes, 'byte')}`, `at the end ${grouped(leftBlocks)} with ${counted(leftBytes, 'byte')}`];
    if (misuses) words.push(`${counted(misuses, 'wrong pointer')}`);
    if (refused) words.push(`${counted(refused, 'request')} refused`);
    if (unseen) words.push(`${counted(unseen, 'free')} of blocks from before the record left out`);
    this.part('record').textContent = `${words.join('; ')}.`;
    this.slider.max = Math.max(0, timeline.frames - 1);
    this.slider.value = this.slider.max;
    this.sizes = bySize(timeline);
    this.sizePeak = timeline.columns.call.reduce((most, _, at) => Math.max(most, this.sizes.reduce((sum, { values }) => sum + values[at], 0)), 0);
    legend(this.part('map-legend'), MAP_LEGEND);
    const cell = timeline.map.cell;
    this.part('map-caption').textContent = `The heap, from its first byte to its last: a square is ${size(cell)}`;
    this.listEvents();
    this.draw();
  }

  go(at) {
    this.slider.value = at;
    this.draw();
    this.moved(this);
  }

  goTo(fraction) { this.go(Math.round(Math.min(1, Math.max(0, fraction)) * Math.max(0, this.timeline.frames - 1))); }

  listEvents() {
    const list = this.part('events');
    list.replaceChildren();
    const { call } = this.timeline.columns;
    for (const { at, text, wrong } of events(this.timeline)) {
      const item = element('li', '', list);
      const button = element('button', `call ${grouped(at)}`, item);
      button.type = 'button';
      const frame = call.findIndex((made) => made >= at);
      button.addEventListener('click', () => this.go(frame < 0 ? call.length - 1 : frame));
      const says = element('span', ` ${text}`, item);
      if (wrong) says.className = 'wrong';
    }
    if (!list.children.length) element('li', 'Nothing came from the kernel, and nothing was wrong.', list);
  }

  draw() {
    const { timeline, at } = this;
    const { columns } = timeline;
    if (!timeline.frames) {
      this.part('place').textContent = 'no calls';
      return;
    }
    const now = (name) => columns[name][at];
    this.part('place').textContent = `call ${grouped(now('call'))} of ${grouped(timeline.totals.calls)}`;
    this.slider.setAttribute('aria-valuetext', `${grouped(now('call'))} calls made, heap ${size(now('heap'))}`);
    const free = now('freeSmall') + now('freeDirty') + now('freeClean');
    this.part('summary').textContent = `${counted(now('blocks'), 'live block')}, asked for with ${counted(now('requested'), 'byte')}. `
      + `${size(now('heap'))} from the kernel, of which ${share(now('requested'), now('heap'))} is what was asked for, ${share(free, now('heap'))} is free: `
      + `${size(now('freeSmall'))} in slabs, ${size(now('freeDirty') + now('freeClean'))} in free runs. A trim would give back ${size(now('trim'))}.`;
    const states = areas(this.part('states'), STATES.map(({ name, color: of }) => ({ color: of, values: columns[name] })), timeline.heapPeak, timeline.frames);
    this.marks(states);
    cursor(states, at);
    cursor(areas(this.part('sizes'), this.sizes, this.sizePeak, timeline.frames), at);
    legend(this.part('states-legend'), [...STATES.map(({ name, color: of, says }) => ({ color: of, says: `${says}: ${size(now(name))}` })),
      { color: '--mark', says: 'wrong pointer' }, { color: '--back', says: 'memory went back' }]);
    legend(this.part('sizes-legend'), this.sizes.map(({ color: of, says, values }) => ({ color: of, says: `${says}: ${size(values[at])}` })));
    drawMap(this.part('map'), timeline.maps[at], timeline.map.cells);
    this.part('states').setAttribute('aria-label', this.part('summary').textContent);
    this.part('sizes').setAttribute('aria-label', this.sizes.map(({ says, values }) => `${says} ${size(values[at])}`).join(', '));
    this.part('map').setAttribute('aria-label', `${counted(timeline.maps[at].length, 'square')}; the lists below say the same in words`);
    this.listRuns();
    this.listClasses();
  }

  // Marks at the top for what went back to the kernel, and higher ones for wrong pointers.
  marks([draw, x]) {
    const { call, lowered, returned } = this.timeline.columns;
    draw.fillStyle = color('--back');
    call.forEach((_, at) => { if (lowered[at] + returned[at] > 0) draw.fillRect(x(at) - 1, 0, 2, 5); });
    draw.fillStyle = color('--mark');
    for (const [wrong] of this.timeline.misuses) {
      const at = Math.max(0, call.findIndex((made) => made >= wrong));
      const middle = Math.min(Math.max(x(at), 6), draw.canvas.clientWidth - 6);
      draw.beginPath();
      draw.moveTo(middle - 6, 0);
      draw.lineTo(middle + 6, 0);
      draw.lineTo(middle, 12);
      draw.fill();
    }
  }

  listRuns() {
    const list = this.part('runs');
    list.replaceChildren();
    const { end, free } = runs(this.timeline.pins[this.at]);
    if (end) element('li', `The heap's end: ${size(end.bytes)} there are free. Below lies ${pinWords(end.pin)}.`, list);
    for (const run of free) {
      const [below, above] = [run.below ? pinWords(run.below) : 'the start', run.above ? pinWords(run.above) : 'the end'];
      element('li', `A free run of ${size(run.bytes)} at ${grouped(run.offset)}: below it ${below}; above it ${above}.`, list);
    }
  }

  listClasses() {
    const body = this.root.querySelector('tbody');
    body.replaceChildren();
    for (const { slot, live, bytes } of this.timeline.classes) {
      const [count, held] = [live[this.at], bytes[this.at]];
      if (!held) continue;
      const row = element('tr', '', body);
      const used = this.timeline.columns.liveSmall[this.at] > 0 || !count ? slot * count : held;
      for (const text of [grouped(slot), grouped(count), grouped(used), grouped(held), share(used, held)]) element('td', text, row);
    }
  }
}

// The page: one panel or two, and the files that were opened.
class Page {
  constructor(all) {
    this.all = all;
    this.panels = [];
    const byId = (name) => document.getElementById(name);
    this.message = byId('message');
    this.together = byId('together');
    byId('compare').addEventListener('click', () => this.split(this.panels.length < 2));
    byId('file').addEventListener('change', (event) => { for (const file of event.target.files) this.open(file); event.target.value = ''; });
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => { event.preventDefault(); for (const file of event.dataTransfer.files) this.open(file); });
    window.addEventListener('resize', () => this.redraw());
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw());
    byId('compare').hidden = all.length < 2;
    this.add(0);
  }

  redraw() { this.panels.forEach((panel) => panel.draw()); }

  add(number) {
    const panel = new Panel(this.all, number, (moved) => this.follow(moved));
    document.getElementById('panels').append(panel.root);
    this.panels.push(panel);
    panel.show(number);
  }

  follow(moved) {
    if (!this.together.checked) return;
    for (const other of this.panels.filter((panel) => panel !== moved)) {
      other.slider.value = Math.round(moved.fraction * Math.max(0, other.timeline.frames - 1));
      other.draw();
    }
  }

  split(two) {
    document.getElementById('panels').classList.toggle('two', two);
    document.getElementById('compare').setAttribute('aria-pressed', two);
    document.getElementById('together-label').hidden = !two;
    if (two && this.panels.length < 2) this.add(Math.min(1, this.all.length - 1));
    while (!two && this.panels.length > 1) this.panels.pop().root.remove();
    this.redraw();
  }

  // Takes the timelines out of another page of this kind, and shows its first beside the one that is shown.
  async open(file) {
    this.message.textContent = '';
    try {
      const text = await file.text();
      const found = text.match(/<script type="application\/json" id="timelines">([\s\S]*?)<\/script>/);
      if (!found) throw new Error('not a timeline');
      const added = JSON.parse(found[1]).map(decode);
      added.forEach((timeline) => { timeline.title = `${file.name}: ${timeline.title}`; });
      const first = this.all.length;
      this.all.push(...added);
      this.panels.forEach((panel) => panel.choose());
      document.getElementById('compare').hidden = false;
      this.split(true);
      this.panels[1].choose();
      this.panels[1].show(first);
    } catch (error) {
      this.message.textContent = `${file.name}: ${error.message}`;
    }
  }
}

window.heapPage = new Page(JSON.parse(document.getElementById('timelines').textContent).map(decode));
