/** What runs in the documentation's page: sends what the forms hold, shows what comes back as it comes. */
export const script = `
const key = document.getElementById('key');
const headers = () => ({
  'content-type': 'application/json',
  ...(key.value && { authorization: 'Bearer ' + key.value }),
});

async function nameModel() {
  const response = await fetch('v1/models', { headers: headers() });
  if (!response.ok) return;
  const id = (await response.json()).data[0]?.id;
  if (!id) return;
  for (const area of document.querySelectorAll('textarea')) area.value = area.value.replace('"MODEL"', JSON.stringify(id));
  for (const input of document.querySelectorAll('input.model')) input.value ||= id;
}
nameModel().catch(() => {});
key.addEventListener('change', () => nameModel().catch(() => {}));

for (const form of document.querySelectorAll('form')) {
  const [answer, status, stop] = ['pre', 'output', '.stop'].map((name) => form.querySelector(name));
  let sending;
  stop.addEventListener('click', () => sending?.abort());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    sending?.abort();
    const mine = (sending = new AbortController());
    const { method } = form.dataset;
    const fields = new FormData(form);
    const path = form.dataset.path.replace(/\\{(\\w+)\\}/g, (_, name) => encodeURIComponent(fields.get(name)));
    answer.hidden = stop.hidden = false;
    answer.textContent = '';
    status.textContent = 'waiting';
    const began = performance.now();
    try {
      const body = method === 'POST' ? fields.get('body') : undefined;
      const response = await fetch(path.slice(1), { method, headers: headers(), body, signal: mine.signal });
      status.textContent = response.status + ' ' + response.statusText;
      const isJson = response.headers.get('content-type')?.startsWith('application/json');
      if (isJson) answer.textContent = JSON.stringify(await response.json(), null, 2);
      else {
        for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
          if (sending === mine) answer.append(piece);
        }
      }
      status.textContent += ', ' + Math.round(performance.now() - began) + ' ms';
    } catch (error) {
      if (sending === mine) status.textContent = mine.signal.aborted ? 'stopped' : String(error);
    } finally {
      if (sending === mine) stop.hidden = true;
    }
  });
}
`;
