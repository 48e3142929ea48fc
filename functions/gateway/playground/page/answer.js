/**
 * Asks, and shows the answer as it comes.
 * @param {import('./api.js').Api} api
 * @param {import('./request.js').ApiRequest} request
 * @param {object} options
 * @param {AbortSignal} options.signal stops it
 * @param {import('./measurement.js').Measurement} options.measurement
 * @param {(text: string) => void} options.onText told of text at once
 * @param {(text: string) => void} options.onPaint told of it when it is to be painted: many tokens may come in one frame
 * @returns {Promise<{hasText: boolean, failure?: unknown}>} a stopped answer is no failure
 */
export async function answer(api, request, { signal, measurement, onText, onPaint }) {
  let pending = '';
  let frame = 0;
  let hasText = false;
  const paint = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    onPaint(pending);
    pending = '';
  };
  const onHeaders = (/** @type {Headers} */ headers) => measurement.noteHeaders(headers);
  try {
    for await (const chunk of api.stream(request, { signal, onHeaders })) {
      const text = measurement.note(chunk);
      if (text === '') continue;
      hasText = true;
      pending += text;
      onText(text);
      // A page that nobody sees has no frames.
      if (document.hidden) paint();
      else frame ||= requestAnimationFrame(paint);
    }
    return { hasText };
  } catch (failure) {
    return signal.aborted ? { hasText } : { hasText, failure };
  } finally {
    paint();
  }
}
