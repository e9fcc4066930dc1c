// A file or the microphone -> the server's stream of segments -> words that play.
const at = (id) => document.getElementById(id);
const LOW = 0.5; // a confidence below is doubtful
const FLAGS = {
  unsupported: "the audio does not support these words",
  loop: "ended in a loop, which was cut",
  budget: "ended at the length limit",
  hotword: "has a name of the list that is not heard",
};
const GAPS = { unwritten: "speech without words", unheard: "words without speech" };
const HAN = /\p{Script=Han}$/u;
let recording = null, chosen = null, running = null;

function say(text, isError = false) {
  at("status").textContent = text;
  at("status").classList.toggle("error", isError);
}

const percent = (confidence) => `${Math.round(confidence * 100)} %`;

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function make(tag, kind, text) {
  const element = document.createElement(tag);
  element.className = kind;
  element.textContent = text;
  return element;
}

// ---- words

function playButton(kind, text, start, detail) {
  const button = make("button", kind, text);
  button.type = "button";
  button.dataset.start = start;
  button.tabIndex = -1;
  button.setAttribute("aria-label", `${text}, ${detail}`);
  return button;
}

function wordButton(word) {
  const isLow = word.confidence !== null && word.confidence < LOW;
  const known = word.confidence === null ? "" : `, confidence ${percent(word.confidence)}${isLow ? ", doubtful" : ""}`;
  const detail = `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s${known}`;
  const button = playButton(isLow ? "word low" : "word", word.word, word.start, detail);
  button.dataset.end = word.end;
  return button;
}

function gapButton(gap) {
  const text = `⚠ ${GAPS[gap.kind] ?? gap.kind}`;
  return playButton("flag", text, gap.start, `${gap.start.toFixed(2)} to ${gap.end.toFixed(2)} s`);
}

function show(segment) {
  const flags = segment.flags.filter((flag) => FLAGS[flag]);
  const line = make("p", flags.length ? "segment doubtful" : "segment", "");
  line.append(make("span", "time", clock(segment.start)));
  for (const flag of flags) line.append(make("span", "flag", `⚠ ${FLAGS[flag]}`), " ");
  const gaps = [...segment.gaps];
  let before = "";
  for (const word of segment.words) {
    while (gaps.length && gaps[0].start <= word.start) line.append(gapButton(gaps.shift()));
    if (!(HAN.test(before) && HAN.test(word.word))) line.append(" ");
    line.append(wordButton(word));
    before = word.word;
  }
  for (const gap of gaps) line.append(" ", gapButton(gap));
  if (line.childNodes.length > 1) at("words").append(line);
  const buttons = at("words").querySelectorAll("button");
  if (buttons.length && !at("words").querySelector('[tabindex="0"]')) buttons[0].tabIndex = 0; // then the arrow keys
}

function play(button) {
  at("player").currentTime = Number(button.dataset.start);
  at("player").play().catch(() => say("This browser cannot play the recording.", true));
}

function move(from, step) {
  const all = [...at("words").querySelectorAll("button")];
  const place = { first: 0, last: all.length - 1 }[step] ?? all.indexOf(from) + step;
  if (!all[place]) return;
  from.tabIndex = -1;
  all[place].tabIndex = 0;
  all[place].focus();
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: "first", End: "last" };
at("words").addEventListener("keydown", (event) => {
  if (!(event.key in STEPS) || !event.target.dataset.start) return;
  event.preventDefault();
  move(event.target, STEPS[event.key]);
});
at("words").addEventListener("click", (event) => event.target.dataset.start && play(event.target));
for (const kind of ["focusin", "mouseover"]) {
  at("words").addEventListener(kind, (event) => {
    if (event.target.dataset.start) at("detail").textContent = event.target.getAttribute("aria-label");
  });
}
at("player").addEventListener("timeupdate", () => {
  const now = at("player").currentTime;
  for (const word of at("words").querySelectorAll(".word")) {
    const isNow = !at("player").paused && Number(word.dataset.start) <= now && now < Number(word.dataset.end);
    if (isNow) word.setAttribute("aria-current", "true");
    else word.removeAttribute("aria-current");
  }
});

// ---- the server

function headers() {
  return at("key").value ? { Authorization: `Bearer ${at("key").value}` } : {};
}

async function refusal(answer) {
  if (answer.status === 401) at("access").hidden = false;
  const body = await answer.json().catch(() => null);
  return body?.error?.message ?? `the server answered ${answer.status}`;
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part.slice("data: ".length));
  }
}

function download(link, content, suffix) {
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([content], { type: "text/plain" }));
  link.download = `${chosen.name.replace(/\.[^.]*$/, "")}.${suffix}`;
}

function take(event) {
  if (event.error) throw new Error(event.error.message);
  if (event.segment) show(event.segment);
  if (event.type !== "transcript.text.done") return;
  download(at("srt"), event.srt, "srt");
  download(at("txt"), `${event.text}\n`, "txt");
  at("downloads").hidden = false;
  const took = (performance.now() - running.started) / 1000;
  say(`${event.text ? "Done" : "No words were found"}: ${event.duration.toFixed(1)} s of sound in ${took.toFixed(1)} s.`);
}

async function transcribe() {
  if (!chosen) return say("Choose or record something first.", true);
  const form = new FormData();
  form.append("file", chosen, chosen.name);
  form.append("response_format", "verbose_json");
  form.append("stream", "true");
  for (const name of ["hotwords", "language"]) if (at(name).value.trim()) form.append(name, at(name).value);
  const run = running = Object.assign(new AbortController(), { started: performance.now() });
  at("title").textContent = `Transcript of ${chosen.name}`;
  at("words").replaceChildren();
  at("detail").textContent = "";
  at("downloads").hidden = true;
  at("result").hidden = false;
  at("go").disabled = true;
  at("stop").hidden = false;
  say("Transcribing …");
  try {
    const request = { method: "POST", body: form, headers: headers(), signal: run.signal };
    const answer = await fetch("v1/audio/transcriptions", request);
    if (!answer.ok) throw new Error(await refusal(answer));
    for await (const event of events(answer)) if (run === running) take(event);
  } catch (error) {
    if (run !== running) return; // another recording has been chosen
    say(error.name === "AbortError" ? "Stopped." : `Not transcribed: ${error.message}`, error.name !== "AbortError");
  }
  end();
}

function end() {
  running = null;
  at("go").disabled = false;
  at("stop").hidden = true;
}

// ---- the recording

function choose(file) { // the words of the last one, and a run that makes them, belong to another recording
  const last = running;
  end();
  last?.abort();
  at("result").hidden = true;
  chosen = file;
  URL.revokeObjectURL(at("player").src);
  at("player").src = URL.createObjectURL(file);
  say(`${file.name}, ${(file.size / 1e6).toFixed(1)} MB`);
}

function wav(parts, rate) { // 16 bits, mono
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (place, letters) => [...letters].forEach((letter, n) => view.setUint8(place + n, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2], [40, 2 * length, 4]]
    .forEach(([place, value, bytes]) => view[bytes === 4 ? "setUint32" : "setUint16"](place, value, true));
  text(36, "data");
  let place = 44;
  for (const part of parts) {
    for (const sample of part) {
      view.setInt16(place, Math.max(-1, Math.min(1, sample)) * 32767, true);
      place += 2;
    }
  }
  return new File([view], "recording.wav", { type: "audio/wav" });
}

async function startRecording() {
  if (!navigator.mediaDevices) throw new Error("the microphone needs https, or the address localhost");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  const context = new AudioContext();
  await context.audioWorklet.addModule("recorder.js");
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const parts = [];
  node.port.onmessage = (event) => {
    if (parts.push(event.data) % 256 === 0) say(`Recording: ${clock((parts.length * 128) / context.sampleRate)}`);
  };
  context.createMediaStreamSource(stream).connect(node);
  recording = { stream, context, parts };
  at("record").textContent = "Stop recording";
  say("Recording: 0:00");
}

async function endRecording() {
  const { stream, context, parts } = recording;
  recording = null;
  at("record").textContent = "Record";
  for (const track of stream.getTracks()) track.stop();
  await context.close();
  choose(wav(parts, context.sampleRate));
  await transcribe();
}

at("record").addEventListener("click", async () => {
  at("record").disabled = true;
  try {
    await (recording ? endRecording() : startRecording());
  } catch (error) {
    say(`No recording: ${error.message}`, true);
  }
  at("record").disabled = false;
});
at("file").addEventListener("change", () => at("file").files[0] && choose(at("file").files[0]));
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  transcribe();
});
at("stop").addEventListener("click", () => running?.abort());
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || !event.dataTransfer.files.length) return;
    choose(event.dataTransfer.files[0]);
    transcribe();
  });
}
fetch("v1/models").then(async (answer) => {
  if (answer.ok) at("model").textContent = `Model: ${(await answer.json()).data[0].id}`;
  else await refusal(answer);
}).catch(() => say("The server does not answer.", true));
