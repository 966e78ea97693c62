// Keeps the result page up to date. The page is complete without this file;
// with it, each frame of the event stream moves the bars.
//
// The stream is read with fetch, not with EventSource, which hides comments:
// the heartbeat comments tell how fresh the server's own view is.

const silence = 25_000; // no byte for so long, and the page calls itself stale
const longestPause = 30_000; // between two attempts to connect
const announceEvery = 10_000; // a screen reader hears no more than that
const pollEvery = 3_000; // where streams cannot be read

const main = document.querySelector('main[data-stream]');
const byId = (id) => document.getElementById(id);
const rows = new Map([...byId('rows').rows].map((tr) => [tr.dataset.id, {
  tr,
  label: tr.querySelector('.label'),
  votes: tr.querySelector('.votes'),
  share: tr.querySelector('.share'),
  bar: tr.querySelector('.bar rect'),
}]));
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const question = byId('question').textContent;
const many = main.dataset.kind === 'multiple';
const toLeader = 'toLeader' in main.dataset;

// ---- What is shown ----

let shown = Number(main.dataset.version);
let standing = main.dataset.state;
let incomplete = 'incomplete' in main.dataset;
let queued = Number(byId('queued').textContent.replaceAll(',', ''));

// Shows a frame, unless a newer one is shown already.
function show(frame) {
  if (!(frame.version > shown)) return;
  const same = frame.options.length === rows.size && frame.options.every((o, i) => byId('rows').rows[i].dataset.id === o.id);
  if (!same) { // another ballot: only the server can draw that
    setTimeout(() => location.reload(), Math.random() * 3000);
    return;
  }
  shown = frame.version;
  standing = frame.state;
  incomplete = frame.incomplete ?? false;
  queued = frame.ledger.queued;

  const counts = frame.options.map((o) => o.votes);
  const of = many ? frame.total : counts.reduce((a, b) => a + b, 0);
  const most = Math.max(...counts);
  const track = toLeader ? most : of;
  const tenths = shares(counts, of);
  const texts = counts.map((n, i) => shareText(n, of, tenths[i]));
  const anyLeads = most > 0 && counts.some((n) => n < most);
  frame.options.forEach((o, i) => {
    const row = rows.get(o.id);
    if (row.label.textContent !== o.label) row.label.textContent = o.label;
    row.share.textContent = texts[i];
    row.bar.style.transform = `scaleX(${track > 0 ? Math.min(o.votes / track, 1) : 0})`;
    row.tr.classList.toggle('leads', anyLeads && o.votes === most);
    roll(row.votes, o.votes);
  });

  roll(byId('total'), frame.total);
  byId('unit').textContent = (many ? 'voter' : 'vote') + (frame.total === 1 ? '' : 's');
  byId('some').hidden = frame.total === 0;
  byId('none').hidden = frame.total > 0;
  byId('none').textContent = 'No votes yet';
  invite(standing === 'live');
  prove(frame.receipts);
  for (const name of ['accepted', 'stored', 'queued', 'rejected']) byId(name).textContent = grouped(frame.ledger[name]);

  const order = counts.map((n, i) => i).sort((a, b) => counts[b] - counts[a] || a - b);
  const leaders = anyLeads ? order.filter((i) => counts[i] === most) : [];
  const headline = leaders.length === 1 ? `${frame.options[order[0]].label} ${texts[order[0]]} · ` : leaders.length ? 'Tie · ' : '';
  document.title = `${headline}${question} · Popeye`;
  announce(order.slice(0, 3).map((i) => `${frame.options[i].label} ${texts[i]}`).join(', ') + `. ${grouped(frame.total)} ${byId('unit').textContent}.`);
}

// The way to the ballot is shown while votes are taken, with the host, as it
// must be typed in.
function invite(open) {
  const p = byId('invite'), link = p?.querySelector('a');
  if (!p) return;
  p.hidden = !open;
  link.textContent = link.host + link.pathname;
}

// What a final result has to show for itself.
function prove(receipts) {
  byId('incomplete').hidden = !incomplete;
  if (!byId('proof')) return;
  byId('proof').hidden = !receipts;
  byId('receipts-hash').textContent = receipts?.sha256 ?? '';
}

// Shares in tenths of a percent. Of votes, they add up to exactly 1000
// (largest remainder, the earlier option wins a tie), as the server has it.
function shares(counts, of) {
  if (of <= 0) return counts.map(() => 0);
  if (many) return counts.map((n) => Math.min(Math.floor((n * 2000 + of) / (2 * of)), 1000));
  const tenths = counts.map((n) => Math.floor((n * 1000) / of));
  const left = 1000 - tenths.reduce((a, b) => a + b, 0);
  const order = counts.map((_, i) => i).sort((a, b) => ((counts[b] * 1000) % of) - ((counts[a] * 1000) % of) || a - b);
  for (const i of order.slice(0, left)) tenths[i]++;
  return tenths;
}

function shareText(n, of, tenths) {
  if (of <= 0) return '–';
  if (n > 0 && tenths === 0) return '<0.1%';
  if (n < of && tenths === 1000) return '>99.9%';
  if (tenths === 0 || tenths === 1000) return `${tenths / 10}%`;
  return `${(tenths / 10).toFixed(1)}%`;
}

function grouped(n) {
  return n.toLocaleString('en-US');
}

// ---- Numbers that roll ----

const rolling = new Map(); // element -> {from, to, start}

function roll(element, to) {
  const running = rolling.get(element);
  const from = running ? running.now : Number(element.textContent.replaceAll(',', ''));
  if (to === (running ? running.to : from)) return;
  if (calm.matches || document.hidden) {
    rolling.delete(element);
    element.textContent = grouped(to);
    return;
  }
  if (rolling.size === 0) requestAnimationFrame(step);
  rolling.set(element, { from, to, now: from, start: performance.now() });
}

function step(time) {
  for (const [element, r] of rolling) {
    const done = Math.min(Math.max((time - r.start) / 500, 0), 1);
    r.now = Math.round(r.from + (r.to - r.from) * (1 - (1 - done) ** 3));
    element.textContent = grouped(r.now);
    if (done === 1) rolling.delete(element);
  }
  if (rolling.size > 0) requestAnimationFrame(step);
}

// Frames are not drawn while the page is hidden: end there what was rolling.
function settle() {
  for (const [element, r] of rolling) element.textContent = grouped(r.to);
  rolling.clear();
}

// ---- What is said aloud: the newest news, rarely ----

let news = '', said = '', quietUntil = 0, announcing = 0;

function announce(text) {
  news = text;
  announcing ||= setTimeout(() => {
    announcing = 0;
    if (news === said || document.hidden) return;
    said = byId('live').textContent = news;
    quietUntil = Date.now() + announceEvery;
  }, Math.max(quietUntil - Date.now(), 1000));
}

// ---- How fresh it is ----

let connected = false; // has this connection said anything?
let before = false; // or an earlier one?
let gone = false;
let heard = Date.now(); // when the last byte came
let staleSince = 'stale' in main.dataset ? heard - main.dataset.stale * 1000 : 0; // since when votes may be missing, as the server says

function paint() {
  const now = Date.now();
  const since = staleSince || (now - heard >= silence ? heard : 0);
  if (gone) pill('gone', 'deleted');
  else if (standing === 'final') pill('final', incomplete ? 'final, incomplete' : 'final');
  else if (since) pill('stale', `stale for ${Math.round((now - since) / 1000)} s`);
  else if (!connected) pill('reconnecting', before ? 'reconnecting' : 'connecting');
  else if (standing === 'provisional') pill('provisional', queued > 0 ? `provisional, ${grouped(queued)} in flight` : 'provisional');
  else pill('live', 'live');
}

function pill(is, text) {
  const p = byId('pill');
  if (p.dataset.is !== is) {
    if (is !== 'live' && is !== 'reconnecting') announce(`The result is ${text}.`);
    p.dataset.is = is;
  }
  if (byId('pill-text').textContent !== text) byId('pill-text').textContent = text;
}

// Votes of so many seconds may be missing in what is shown.
function freshen(seconds) {
  staleSince = seconds > 0 ? Date.now() - seconds * 1000 : 0;
}

function hear() {
  heard = Date.now();
  connected = before = true;
  attempts = 0;
}

// ---- The stream ----

let retry = 2_000; // as the server's retry: has it
let attempts = 0; // that failed since something was heard
let current = null; // the running request's AbortController
let begun = 0; // when that request was sent
let hurry = false; // no pause before the next attempt
let wake = () => {}; // ends a pause

// Returns a function that takes the stream in pieces and calls on(name, value)
// for each event, comment ('') and retry. Lines end in \n or \r\n.
function parser(on) {
  let rest = '', type = '', data = [];
  const line = (text) => {
    if (text === '') {
      if (data.length > 0) on(type || 'message', data.join('\n'));
      type = '';
      data = [];
      return;
    }
    const colon = text.indexOf(':');
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (field === '') on('', value);
    else if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
    else if (field === 'retry' && /^\d+$/.test(value)) on('retry', value);
  };
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop();
    for (const text of lines) line(text.replace(/\r$/, ''));
  };
}

function receive(name, value) {
  if (name === 'results') {
    show(JSON.parse(value));
  } else if (name === 'gone') {
    vanish();
  } else if (name === 'retry') {
    retry = Number(value);
  } else if (name === '') {
    // A new frame is no sign of freshness: a store that is behind moves as well.
    const [word, seconds] = value.trim().split(' ');
    if (word === 'fresh') freshen(0);
    else if (word === 'stale') freshen(seconds);
  }
}

function vanish() {
  gone = true;
  byId('notice').textContent = 'This poll was deleted. What you see is its last result.';
  byId('notice').hidden = false;
  invite(false);
  current?.abort();
}

// Reads the stream until it ends or fails.
async function follow() {
  const response = await ask(main.dataset.stream, { Accept: 'text/event-stream' });
  if (refused(response)) return;
  if (!response.body?.getReader || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    current.abort();
    await poll();
    return;
  }
  const reader = response.body.getReader(), decoder = new TextDecoder(), take = parser(receive);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    hear();
    take(decoder.decode(value, { stream: true }));
    paint();
  }
}

function ask(url, headers) {
  current = new AbortController();
  begun = Date.now();
  return fetch(url, { headers, signal: current.signal, cache: 'no-store' });
}

// Where streams cannot be read, asks for the result itself every few seconds.
async function poll() {
  for (let tag = ''; !gone;) {
    const response = await ask(main.dataset.data, tag ? { 'If-None-Match': tag } : {});
    if (response.status !== 304) {
      if (refused(response)) return;
      show(await response.json());
      tag = response.headers.get('ETag') ?? '';
    }
    freshen(response.headers.get('Stale-For'));
    hear();
    paint();
    await pause(pollEvery * (0.75 + Math.random() / 2));
  }
}

// Deals with an answer that is no result. Throws where trying again may help.
function refused(response) {
  if (response.ok) return false;
  if (response.status === 404 || response.status === 410) vanish();
  else if (response.status === 403) setTimeout(() => location.reload(), (1 + Math.random()) * 5000); // it may not be shown any more, and the page says why
  else throw new Error(`status ${response.status}`);
  return true;
}

function pause(ms) {
  return new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, ms);
  });
}

async function run() {
  while (!gone) {
    try {
      await follow();
    } catch {
      // Away, cut off, or silent for too long: try again below.
    }
    connected = false;
    paint();
    if (gone) return;
    // Full jitter: a server that comes back is not met by everybody at once.
    if (!hurry) await pause(Math.random() * Math.min(retry * 2 ** attempts++, longestPause));
    hurry = false;
  }
}

// ---- Watching over it ----

// A request that is silent for too long is dead, though nobody said so.
function watch() {
  if (Date.now() - Math.max(heard, begun) >= silence) current?.abort();
  paint();
}

// Back on the screen, or on the net: what may be old is asked for at once.
function catchUp() {
  if (document.hidden) return settle();
  if (connected && Date.now() - heard > 12_000) { // a heartbeat is missing
    hurry = true;
    current.abort();
  }
  attempts = 0;
  wake();
  paint();
}

document.addEventListener('visibilitychange', catchUp);
addEventListener('online', catchUp);
addEventListener('pageshow', (event) => event.persisted && catchUp());
setInterval(watch, 1000);
invite(standing === 'live');
run();
