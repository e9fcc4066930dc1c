// Hands the samples of the microphone on. MediaRecorder would make webm, which the server does not read.
registerProcessor("recorder", class extends AudioWorkletProcessor {
  process([input]) {
    if (input[0]) this.port.postMessage(input[0].slice());
    return true;
  }
});
