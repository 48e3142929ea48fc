import { Announcer } from './announcer.js';
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
import { noteOf } from './output.js';
import { chatRequest, textRequest } from './request.js';
import { SettingsForm } from './settings.js';
import { TextView } from './text-view.js';
import { themeSwitch } from './theme.js';

const api = new Api();
const picker = byId('model', HTMLSelectElement);
const modeButtons = {
  chat: byId('mode-chat', HTMLInputElement),
  text: byId('mode-text', HTMLInputElement),
};
const go = byId('go', HTMLButtonElement);
const regenerateButton = byId('regenerate', HTMLButtonElement);
const clearButton = byId('clear', HTMLButtonElement);
const copyButton = byId('copy', HTMLButtonElement);
const keyField = byId('key', HTMLInputElement);

const settings = new SettingsForm(() => {});
const chat = new ChatView(() => regenerate());
const text = new TextView();
const panel = new ModelPanel();
const instruments = new Instruments();
const announcer = new Announcer();
const errorCard = new ErrorCard();
const metrics = new MetricsWatch(api, (page) => instruments.showServer(serverNumbers(page, modelName())));
const curl = new CurlDialog(api, () => currentRequest());

/** @type {import('./request.js').Mode} */
let mode = 'text';
/** The answer that is coming. @type {AbortController | undefined} */
let running;
/** @type {import('./api.js').ModelDetails | undefined} */
let details;

const view = () => (mode === 'chat' ? chat : text);
/** The name behind an alias: metrics go by that. */
const modelName = () => picker.selectedOptions[0]?.dataset.name ?? picker.value;

/** What pressing the big button would send. */
function currentRequest() {
  const model = picker.value;
  return mode === 'chat'
    ? chatRequest(model, chat.drafted, settings.values)
    : textRequest(model, text.text, settings.values);
}

async function generate() {
  const request =
    mode === 'chat' ? chatRequest(picker.value, chat.messages, settings.values) : currentRequest();
  const output = mode === 'chat' ? chat.begin(picker.value) : text.begin();
  const controller = new AbortController();
  const measurement = new Measurement();
  const onHeaders = (/** @type {Headers} */ headers) => measurement.noteHeaders(headers);
  let pending = '';
  let frame = 0;
  let hasText = false;
  const flush = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    if (pending !== '') output.append(pending);
    pending = '';
    instruments.show(measurement);
  };
  setRunning(controller);
  errorCard.hide();
  instruments.begin();
  /** @type {unknown} */
  let failure;
  try {
    for await (const chunk of api.stream(request, { signal: controller.signal, onHeaders })) {
      const more = measurement.note(chunk);
      if (more === '') continue;
      hasText = true;
      pending += more;
      announcer.add(more);
      // A page that nobody sees has no frames.
      if (document.hidden) flush();
      else frame ||= requestAnimationFrame(flush);
    }
  } catch (error) {
    if (!controller.signal.aborted) failure = error;
  }
  flush();
  announcer.end();
  instruments.end(measurement);
  const isComplete = failure === undefined && !controller.signal.aborted;
  if (hasText || isComplete) output.end(noteOf(measurement, controller.signal.aborted));
  else output.discard();
  setRunning(undefined);
  if (failure) showFailure(failure);
  void metrics.look();
}

function regenerate() {
  if (running || !view().canRegenerate) return;
  view().dropAnswer();
  void generate();
}

/** The big button: sends, continues or stops. */
function press() {
  if (running) return running.abort();
  if (picker.value === '') return;
  if (mode === 'chat') {
    if (!chat.hasDraft) return;
    chat.send();
  }
  void generate();
}

/** @param {unknown} error */
function showFailure(error) {
  errorCard.show(error);
  if (!(error instanceof ApiFailure) || error.status !== 401) return;
  // On narrow screens the field lies in a panel that opens.
  if (keyField.offsetParent === null) byId('panel', HTMLElement).showPopover();
  keyField.focus();
}

/** @param {AbortController | undefined} controller */
function setRunning(controller) {
  running = controller;
  metrics.busy = controller !== undefined;
  if (controller) void metrics.look();
  panel.picture.running = controller !== undefined;
  document.body.classList.toggle('running', controller !== undefined);
  update();
}

/** Brings buttons and empty states in line with what there is. */
function update() {
  const labels = { chat: 'Send', text: 'Continue' };
  go.classList.toggle('stop', running !== undefined);
  byId('go-label', HTMLElement).textContent = running ? 'Stop' : labels[mode];
  const pictures = { chat: 'send', text: 'go-on' };
  go.querySelector('use')?.setAttribute('href', `#icon-${running ? 'stop' : pictures[mode]}`);
  go.disabled = !running && (picker.value === '' || (mode === 'chat' && !chat.hasDraft));
  regenerateButton.disabled = running !== undefined || !view().canRegenerate;
  clearButton.disabled = running !== undefined || view().isEmpty;
  copyButton.disabled = view().isEmpty;
  picker.disabled = running !== undefined;
  byId('welcome', HTMLElement).hidden = !view().isEmpty || running !== undefined;
}

/** @param {import('./request.js').Mode} next */
function setMode(next) {
  mode = next;
  modeButtons[next].checked = true;
  document.body.dataset.mode = next;
  welcome();
  update();
}

function welcome() {
  const { title, note, ideas } = welcomeOf(mode, picker.value, details);
  byId('welcome-title', HTMLElement).textContent = title;
  byId('welcome-note', HTMLElement).textContent = note;
  byId('ideas', HTMLElement).replaceChildren(
    ...ideas.map((idea) => {
      const button = element('button', { type: 'button', className: 'idea' }, idea.trim());
      button.addEventListener('click', () => {
        view().draft(idea);
        update();
      });
      return element('li', {}, button);
    }),
  );
}

async function showModel() {
  details = undefined;
  if (picker.value === '') return;
  try {
    details = await api.details(picker.value);
  } catch (error) {
    showFailure(error);
  }
  panel.show(details);
  if (details?.context_length) settings.limitTokens(details.context_length);
  document.title = `${picker.value} · Foldgate playground`;
  const canChat = details?.chat ?? true;
  modeButtons.chat.disabled = !canChat;
  setMode(canChat ? 'chat' : 'text');
  // Where there is a keyboard already, and none that would come up.
  if (matchMedia('(pointer: fine)').matches) view().focus();
}

async function showModels() {
  try {
    const models = await api.models();
    const options = models.map(({ id, root = id }) => {
      const option = element('option', { value: id }, id);
      option.dataset.name = root;
      return option;
    });
    picker.replaceChildren(...options);
    errorCard.hide();
  } catch (error) {
    picker.replaceChildren();
    showFailure(error);
  }
  await showModel();
  update();
  metrics.restart();
}

themeSwitch();
keyField.value = api.key;
byId('key-form', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
keyField.addEventListener('change', () => {
  api.key = keyField.value.trim();
  void showModels();
});
picker.addEventListener('change', () => void showModel());
for (const [name, button] of Object.entries(modeButtons)) {
  button.addEventListener('change', () => setMode(/** @type {import('./request.js').Mode} */ (name)));
}
go.addEventListener('click', press);
regenerateButton.addEventListener('click', regenerate);
copyButton.addEventListener('click', () => {
  const all = mode === 'chat' ? chat.messages.map(({ content }) => content).join('\n\n') : text.text;
  void copy(all, copyButton);
});
clearButton.addEventListener('click', () => {
  view().clear();
  errorCard.hide();
  update();
});
byId('show-curl', HTMLButtonElement).addEventListener('click', () => curl.show());
document.addEventListener('input', update);
for (const field of ['prompt', 'text'])
  byId(field, HTMLElement).addEventListener('input', () => errorCard.hide());
document.addEventListener('keydown', (event) => {
  if (event.isComposing || document.querySelector('dialog[open], :popover-open')) return;
  const isField = event.target instanceof HTMLTextAreaElement;
  const sends = mode === 'chat' ? !event.shiftKey : event.ctrlKey || event.metaKey;
  const isPrompt = isField && ['prompt', 'text'].includes(event.target.id);
  if (event.key === 'Enter' && isPrompt && sends) {
    event.preventDefault();
    if (!running) press();
  }
  if (event.key === 'Escape' && running) running.abort();
});
void showModels();
