// Plaudit's assignment in JavaScript: the twin of ab_testing/layers.py, without dependencies, for browsers and Node.
//
//   const {router} = require("./assignment.js");            // in a page: plauditAssignment.router
//   const draw = router({project: "default", experiments: [...], holdout_share: 0, hash_mode: "own"});
//   draw(userKey);   // {experiment_id, arm, adapter, propensity, phase}, or null: in no experiment
//
// `experiments` are the running ones as the store holds them. In the modes growthbook_v1 and growthbook_v2 people are
// drawn by the caller's own user id, not by the user key. Text is hashed as UTF-8; half a surrogate pair that stands
// alone counts as U+FFFD. Golden vectors and a million people hold this file and the Python code together: whoever
// changes one changes both.
((root, make) => {
  if (typeof module === "object" && module.exports) module.exports = make();
  else root.plauditAssignment = make();
})(typeof globalThis === "object" ? globalThis : this, () => {
  // --- BLAKE2b (RFC 7693), 8 bytes long, without key; a 64-bit word is two 32-bit halves, the low one first ----------
  const IV = Uint32Array.of(
    0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
    0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19);
  const ORDERS = [
    "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
    "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
    "0123456789abcdef", "ea489fd61c02b753"].map((order) => Uint8Array.from(order, (digit) => 2 * parseInt(digit, 16)));
  const h = new Uint32Array(16), v = new Uint32Array(32), m = new Uint32Array(32), TWO32 = 4294967296;

  // v[a] += v[b] + m[x]; a typed array keeps the sum modulo 2^32, the division gives the carry.
  const add = (a, b, x) => {
    const low = v[a] + v[b] + m[x];
    v[a + 1] = v[a + 1] + v[b + 1] + m[x + 1] + Math.floor(low / TWO32);
    v[a] = low;
  };
  const sum = (c, d) => {
    const low = v[c] + v[d];
    v[c + 1] = v[c + 1] + v[d + 1] + (low >= TWO32 ? 1 : 0);
    v[c] = low;
  };
  const mix = (a, b, c, d, x, y) => {
    add(a, b, x);
    let low = v[d] ^ v[a], high = v[d + 1] ^ v[a + 1];
    v[d] = high; v[d + 1] = low; // turned right by 32
    sum(c, d);
    low = v[b] ^ v[c]; high = v[b + 1] ^ v[c + 1];
    v[b] = (low >>> 24) | (high << 8); v[b + 1] = (high >>> 24) | (low << 8); // by 24
    add(a, b, y);
    low = v[d] ^ v[a]; high = v[d + 1] ^ v[a + 1];
    v[d] = (low >>> 16) | (high << 16); v[d + 1] = (high >>> 16) | (low << 16); // by 16
    sum(c, d);
    low = v[b] ^ v[c]; high = v[b + 1] ^ v[c + 1];
    v[b] = (high >>> 31) | (low << 1); v[b + 1] = (low >>> 31) | (high << 1); // by 63
  };
  const compress = (bytes, from, end, last) => {
    m.fill(0);
    for (let i = from; i < end; i++) m[(i - from) >> 2] |= bytes[i] << (8 * ((i - from) & 3));
    v.set(h);
    v.set(IV, 16);
    v[24] ^= end; // bytes so far; our texts are shorter than 2^32
    if (last) { v[28] = ~v[28]; v[29] = ~v[29]; }
    for (const s of ORDERS) {
      mix(0, 8, 16, 24, s[0], s[1]); mix(2, 10, 18, 26, s[2], s[3]);
      mix(4, 12, 20, 28, s[4], s[5]); mix(6, 14, 22, 30, s[6], s[7]);
      mix(0, 10, 20, 30, s[8], s[9]); mix(2, 12, 22, 24, s[10], s[11]);
      mix(4, 14, 16, 26, s[12], s[13]); mix(6, 8, 18, 28, s[14], s[15]);
    }
    for (let i = 0; i < 16; i++) h[i] ^= v[i] ^ v[i + 16];
  };
  const turned = (word) => ((word & 255) << 24 | (word & 65280) << 8 | word >>> 8 & 65280 | word >>> 24) >>> 0;
  let high = 0, low = 0; // the digest of the last `hash`, read as a big-endian number
  const hash = (bytes, length) => {
    h.set(IV);
    h[0] ^= 0x01010008;
    let from = 0;
    for (; length - from > 128; from += 128) compress(bytes, from, from + 128, false);
    compress(bytes, from, length, true);
    high = turned(h[0]);
    low = turned(h[1]);
  };

  // --- text -----------------------------------------------------------------------------------------------------------
  // Writes UTF-8 into `bytes` at `at` and returns where it ends; three bytes a unit suffice.
  const utf8 = (text, bytes, at) => {
    for (let i = 0; i < text.length; i++) {
      let code = text.charCodeAt(i);
      if (code < 0x80) { bytes[at++] = code; continue; }
      if (code < 0x800) { bytes[at++] = 0xc0 | code >> 6; bytes[at++] = 0x80 | code & 63; continue; }
      if (code >= 0xd800 && code < 0xe000) {
        const next = code < 0xdc00 ? text.charCodeAt(i + 1) : 0; // NaN at the end: no pair
        if (next >= 0xdc00 && next < 0xe000) {
          code = 0x10000 + (code - 0xd800) * 1024 + (next - 0xdc00);
          i++;
          bytes[at++] = 0xf0 | code >> 18; bytes[at++] = 0x80 | code >> 12 & 63;
          bytes[at++] = 0x80 | code >> 6 & 63; bytes[at++] = 0x80 | code & 63;
          continue;
        }
        code = 0xfffd;
      }
      bytes[at++] = 0xe0 | code >> 12; bytes[at++] = 0x80 | code >> 6 & 63; bytes[at++] = 0x80 | code & 63;
    }
    return at;
  };
  let buffer = new Uint8Array(512);
  const prefixOf = (salt) => {
    const bytes = new Uint8Array(3 * salt.length + 1);
    return bytes.slice(0, utf8(salt, bytes, 0) + 1); // with the NUL
  };
  const place = (prefix, person) => {
    const most = prefix.length + 3 * person.length;
    if (most > buffer.length) buffer = new Uint8Array(2 * most);
    buffer.set(prefix);
    hash(buffer, utf8(person, buffer, prefix.length));
  };
  const point = (salt, person) => {
    place(prefixOf(salt), person);
    return BigInt(high) << 32n | BigInt(low);
  };

  // --- GrowthBook's hashing, over UTF-16 code units ---------------------------------------------------------------------
  const fnv1a32 = (text) => {
    let value = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
    return value >>> 0;
  };
  const bucket = (seed, value, version) =>
    version === 1 ? fnv1a32(value + seed) % 1000 / 1000 : fnv1a32(String(fnv1a32(seed + value))) % 10000 / 10000;
  const rangesOf = (variations, coverage) => {
    const weight = 1 / variations, covered = Math.min(Math.max(coverage, 0), 1), found = [];
    for (let i = 0, start = 0; i < variations; i++, start += weight) found.push([start, start + covered * weight]);
    return found;
  };
  const mass = ([start, end], grid) => {
    let count = 0;
    for (let i = 0; i < grid; i++) if (start <= i / grid && i / grid < end) count++;
    return count / grid;
  };

  // --- arms -------------------------------------------------------------------------------------------------------------
  const POINTS = 1n << 64n;
  const edgeOf = (share) => BigInt(Math.floor(share * 2 ** 64)); // the product is exact
  const armOf = (index) => index ? `challenger-${index + 1}` : "challenger";
  const smaller = (a, b) => a < b ? a : b;
  const parts = (experiment) => {
    const phase = experiment.phases[experiment.phases.length - 1];
    const candidates = [experiment.challenger, ...(experiment.others || [])];
    const made = (arm, adapter, propensity) =>
      Object.freeze({experiment_id: experiment.experiment_id, arm, adapter, propensity, phase: phase.index});
    const champion = experiment.kind === "holdback" ? experiment.challenger : experiment.control;
    const dropped = (experiment.config && experiment.config.dropped) || []; // arms that were taken back
    return {phase, candidates, made, champion, dropped, k: BigInt(candidates.length)};
  };

  // Sorted pieces [first point, what holds from there] as two arrays of halves, to be searched by a digest's halves.
  const searched = (pieces) => {
    const kept = new Map();
    for (const [start, what] of pieces) if (start < POINTS) kept.set(start, what); // the last at one point holds
    const sorted = [...kept].sort((a, b) => a[0] < b[0] ? -1 : 1);
    const highs = Uint32Array.from(sorted, ([start]) => Number(start >> 32n));
    const lows = Uint32Array.from(sorted, ([start]) => Number(start & 0xffffffffn));
    const values = sorted.map(([, what]) => what);
    return () => {
      let i = values.length - 1;
      while (i && (high < highs[i] || (high === highs[i] && low < lows[i]))) i--;
      return values[i];
    };
  };
  const cellOf = (experiment) => {
    const {phase, candidates, made, champion, dropped, k} = parts(experiment), pieces = [];
    const own = phase.shares && phase.shares.length ? phase.shares : null; // each candidate's, where they differ
    const shareOf = (index) => own ? own[index] : phase.share;
    let counted = phase.share;
    if (own) candidates.forEach((adapter, index) => { if (!dropped.includes(armOf(index))) counted += own[index]; });
    else counted = (candidates.length - dropped.length + 1) * phase.share;
    const rest = made(null, champion, 1 - counted);
    const up = (index) => (index * POINTS + 2n * k - 1n) / (2n * k);
    candidates.forEach((adapter, index) => {
      const i = BigInt(index);
      pieces.push([up(i), dropped.includes(armOf(index)) ? rest : made(armOf(index), adapter, shareOf(index))]);
      pieces.push([smaller(i * POINTS / (2n * k) + edgeOf(shareOf(index)), up(i + 1n)), rest]);
    });
    pieces.push([POINTS - edgeOf(phase.share), made("control", experiment.control, phase.share)]);
    return {prefix: prefixOf(experiment.salt), find: searched(pieces)};
  };
  const own = (project, experiments, holdoutShare) => {
    const top = POINTS - edgeOf(holdoutShare);
    const slots = experiments.map(({slot: [start, end]}) => [edgeOf(start), smaller(edgeOf(end), top)]);
    const cells = experiments.map(cellOf);
    if (!slots[0][0] && slots[0][1] === POINTS) { // everybody is in one experiment: the layer decides nothing
      return (person) => {
        place(cells[0].prefix, person);
        return cells[0].find();
      };
    }
    const cuts = [0n, ...slots.flat()].filter((cut) => cut < POINTS);
    const owner = (cut) => cells[slots.findIndex(([start, end]) => start <= cut && cut < end)] || null;
    const find = searched(cuts.map((cut) => [cut, owner(cut)])), layer = prefixOf(`layer:${project}`);
    return (person) => {
      place(layer, person);
      const cell = find();
      if (!cell) return null;
      place(cell.prefix, person);
      return cell.find();
    };
  };
  const growthbook = (project, experiments, holdoutShare, version) => {
    const grid = version === 1 ? 1000 : 10000, top = 1 - holdoutShare;
    const compiled = experiments.map((experiment) => {
      const {phase, candidates, made, champion, dropped} = parts(experiment), variations = candidates.length + 1;
      const named = [["control", experiment.control], ...candidates.map((adapter, index) => [armOf(index), adapter])];
      let left = 1;
      const arms = rangesOf(variations, variations * phase.share).flatMap((range, index) => {
        const [arm, adapter] = named[index], share = mass(range, grid);
        if (dropped.includes(arm)) return [];
        left -= share;
        return [[range, made(arm, adapter, share)]];
      });
      return {slot: experiment.slot, salt: experiment.salt, arms, rest: made(null, champion, Math.max(left, 0))};
    });
    return (person) => {
      const found = bucket(`__${project}`, person, 1);
      if (found >= top) return null;
      const home = compiled.find(({slot}) => slot[0] <= found && found < slot[1]);
      if (!home) return null;
      const drawn = bucket(home.salt, person, version);
      const arm = home.arms.find(([[start, end]]) => start <= drawn && drawn < end);
      return arm ? arm[1] : home.rest;
    };
  };

  const router = ({project, experiments, holdout_share = 0, hash_mode = "own"}) => {
    const routed = experiments.filter(({kind, phases}) => kind !== "sentinel" && phases.length);
    routed.sort((a, b) => a.started_at - b.started_at || (a.experiment_id < b.experiment_id ? -1 : 1));
    if (!routed.length) return () => null;
    if (hash_mode === "own") return own(project, routed, holdout_share);
    return growthbook(project, routed, holdout_share, hash_mode === "growthbook_v1" ? 1 : 2);
  };
  return {router, point, fnv1a32, bucket, rangesOf};
});
