import { Announcer } from './announcer.js';
import { answer } from './answer.js';
import { Api, ApiFailure } from './api.js';
import { ChatView } from './chat-view.js';
import { CurlDialog } from './curl-dialog.js';
import { byId, copy, element } from './dom.js';
import { ErrorCard } from './error-card.js';
import { welcomeOf } from './ideas.js';
import { Instruments } from './instruments.js';
import { Measurement } from './measurement.js';
import { MetricsWatch, serverNumbers } from './metrics.js';
import { ModelPanel } from './model-panel.js';
import { ModelPicker } from './model-picker.js';
import { noteOf } from './output.js';
import { chatRequest, textRequest } from './request.js';
import { SettingsForm } from './settings.js';
import { TextView } from './text-view.js';
import { themeSwitch } from './theme.js';

/** @typedef {import('./request.js').Mode} Mode */

const api = new Api();
const picker = new ModelPicker(api, () => void chooseModel());
const settings = new SettingsForm();
const chat = new ChatView(() => regenerate());
const text = new TextView();
const panel = new ModelPanel();
const instruments = new Instruments();
const announcer = new Announcer();
const errorCard = new ErrorCard();
const metrics = new MetricsWatch(api, (page) => instruments.showServer(serverNumbers(page, picker.name)));
const curl = new CurlDialog(api, () => requestOf(chat.drafted));

const body = document.body;
const modes = { chat: byId('mode-chat', HTMLInputElement), text: byId('mode-text', HTMLInputElement) };
const keyField = byId('key', HTMLInputElement);
const buttons = {
  go: byId('go', HTMLButtonElement),
  regenerate: byId('regenerate', HTMLButtonElement),
  copy: byId('copy', HTMLButtonElement),
  clear: byId('clear', HTMLButtonElement),
};

/** @type {Mode} */
let mode = 'text';
/** What was chosen, also while the model cannot do it. @type {Mode} */
let wantedMode = 'chat';
/** The answer that is coming. @type {AbortController | undefined} */
let running;

/** As far as a browser tells: where the pointer is fine, it is no finger on a screen. */
const hasKeyboard = matchMedia('(pointer: fine)');
const view = () => (mode === 'chat' ? chat : text);

/** @param {readonly import('./request.js').Message[]} messages */
function requestOf(messages) {
  return mode === 'chat'
    ? chatRequest(picker.id, messages, settings.values)
    : textRequest(picker.id, text.text, settings.values);
}

async function generate() {
  const request = requestOf(chat.messages);
  const output = view().begin(picker.id);
  const controller = new AbortController();
  const { signal } = controller;
  const measurement = new Measurement();
  errorCard.hide();
  instruments.begin();
  setRunning(controller);
  const { hasText, failure } = await answer(api, request, {
    signal,
    measurement,
    onText: (more) => announcer.add(more),
    onPaint: (more) => {
      if (more !== '') output.append(more);
      instruments.show(measurement);
    },
  });
  announcer.end();
  instruments.end(measurement);
  if (hasText || !(failure || signal.aborted)) output.end(noteOf(measurement, signal.aborted));
  else output.discard();
  setRunning(undefined);
  if (failure) showFailure(failure);
  // A model that was loaded for this has something new to tell.
  if (picker.details?.state !== 'ready') await describeModel().catch(() => {});
}

/** The big button: sends, continues or stops. */
function press() {
  if (running) return running.abort();
  if (picker.id === '' || (mode === 'chat' && !chat.hasDraft)) return;
  if (mode === 'chat') chat.send();
  void generate();
}

function regenerate() {
  if (running || !view().canRegenerate) return;
  view().dropAnswer();
  void generate();
}

function clear() {
  view().clear();
  errorCard.hide();
  update();
}

/** @param {AbortController | undefined} controller */
function setRunning(controller) {
  running = controller;
  panel.picture.running = controller !== undefined;
  body.classList.toggle('running', controller !== undefined);
  metrics.busy = controller !== undefined;
  void metrics.look();
  update();
}

/** Brings the buttons in line with what there is. */
function update() {
  const [label, picture] = running
    ? ['Stop', 'stop']
    : mode === 'chat'
      ? ['Send', 'send']
      : ['Continue', 'go-on'];
  byId('go-label', HTMLElement).textContent = label;
  buttons.go.querySelector('use')?.setAttribute('href', `#icon-${picture}`);
  buttons.go.disabled = !running && (picker.id === '' || (mode === 'chat' && !chat.hasDraft));
  buttons.regenerate.disabled = running !== undefined || !view().canRegenerate;
  buttons.clear.disabled = running !== undefined || view().isEmpty;
  buttons.copy.disabled = view().isEmpty;
  picker.disabled = running !== undefined;
  for (const [name, button] of Object.entries(modes)) {
    const isPossible = name === 'text' || picker.details?.chat !== false;
    button.disabled = running !== undefined || !isPossible;
  }
  byId('welcome', HTMLElement).hidden = !view().isEmpty || running !== undefined;
}

/** @param {Mode} next */
function setMode(next) {
  mode = next;
  modes[next].checked = true;
  body.dataset.mode = next;
  const { title, note, ideas } = welcomeOf(mode, picker.id, picker.details);
  byId('welcome-title', HTMLElement).textContent = title;
  byId('welcome-note', HTMLElement).textContent = note;
  byId('ideas', HTMLElement).replaceChildren(
    ...ideas.map((idea) => {
      const button = element('button', { type: 'button', className: 'idea' }, idea);
      button.addEventListener('click', () => {
        view().draft(idea);
        update();
      });
      return element('li', {}, button);
    }),
  );
  update();
}

async function describeModel() {
  try {
    await picker.describe();
  } finally {
    const { details } = picker;
    panel.show(details);
    if (details?.context_length) settings.limitTokens(details.context_length);
  }
}

async function chooseModel() {
  await describeModel().catch(showFailure);
  document.title = `${picker.id} · Foldgate playground`;
  setMode(picker.details?.chat === false ? 'text' : wantedMode);
}

/** Once at the start, and again with another key. */
async function begin() {
  errorCard.hide();
  try {
    await picker.list();
    await chooseModel();
    // On a screen, keys would come up and cover half of it.
    if (hasKeyboard.matches) view().focus();
  } catch (error) {
    setMode(mode);
    showFailure(error);
  }
  body.removeAttribute('aria-busy');
  metrics.restart();
}

/** @param {unknown} error */
function showFailure(error) {
  errorCard.show(error);
  if (!(error instanceof ApiFailure) || error.status !== 401) return;
  // On narrow screens the field lies in a panel that opens.
  if (keyField.offsetParent === null) byId('panel', HTMLElement).showPopover();
  keyField.focus();
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.isComposing || document.querySelector('dialog[open], :popover-open')) return;
  if (event.key === 'Escape' && running) running.abort();
  const isField = event.target instanceof HTMLElement && ['prompt', 'text'].includes(event.target.id);
  // Keys on a screen have no Shift+Enter: there Enter breaks the line.
  const sends = event.ctrlKey || event.metaKey || (mode === 'chat' && !event.shiftKey && hasKeyboard.matches);
  if (event.key !== 'Enter' || !isField || !sends) return;
  event.preventDefault();
  if (!running) press();
}

themeSwitch();
keyField.value = api.key;
keyField.addEventListener('change', () => {
  api.key = keyField.value.trim();
  void begin();
});
byId('key-form', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
for (const [name, button] of Object.entries(modes)) {
  button.addEventListener('change', () => {
    wantedMode = /** @type {Mode} */ (name);
    setMode(wantedMode);
  });
}
buttons.go.addEventListener('click', press);
buttons.regenerate.addEventListener('click', regenerate);
buttons.copy.addEventListener('click', () => void copy(view().text, buttons.copy));
buttons.clear.addEventListener('click', clear);
byId('show-curl', HTMLButtonElement).addEventListener('click', () => curl.show());
for (const field of ['prompt', 'text']) {
  byId(field, HTMLTextAreaElement).addEventListener('input', () => {
    errorCard.hide();
    update();
  });
}
document.addEventListener('keydown', onKey);
void begin();
