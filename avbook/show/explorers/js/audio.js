// The audio of a clip, stored with 8 bits a sample (μ-law), as an address for an audio element.

// Samples in −1..1 from base64 of bytes 0..255: the loudness of a sample grows by equal ratios.
export function decodeAudio({ samples }) {
  const bytes = Uint8Array.from(atob(samples), (letter) => letter.charCodeAt(0));
  return Float32Array.from(bytes, (byte) => {
    const level = (2 * byte) / 255 - 1;
    return (Math.sign(level) * (256 ** Math.abs(level) - 1)) / 255;
  });
}

// A WAV file of 16 bits in memory; every browser plays it and seeks in it. On the site it is a file
// already, which is loaded when it is first played.
export function audioAddress(audio) {
  if (audio.address) return audio.address;
  const samples = decodeAudio(audio);
  const file = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, k) => file.setUint8(at + k, letter.charCodeAt(0)));
  text(0, "RIFF"); file.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  file.setUint32(16, 16, true); file.setUint16(20, 1, true); file.setUint16(22, 1, true);
  file.setUint32(24, audio.rate, true); file.setUint32(28, 2 * audio.rate, true);
  file.setUint16(32, 2, true); file.setUint16(34, 16, true);
  text(36, "data"); file.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, k) => file.setInt16(44 + 2 * k, Math.round(32767 * sample), true));
  return URL.createObjectURL(new Blob([file.buffer], { type: "audio/wav" }));
}
