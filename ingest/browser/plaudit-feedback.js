// Plaudit's feedback script: how long an answer is really read, votes, copies and shares, sent with the answer's token.
//
//   <script src="https://plaudit.example/v1/feedback.js"></script>
//   const answer = plaudit.answered(element, responseId, token);  // once the last token has been streamed
//   answer.set("like"); answer.withdraw("like"); answer.set("rating", {value: 0.8}); answer.set("comment", {text: "..."});
//
// Or in the markup, for answers that are there when the page loads:
//   <article data-plaudit-token="..." data-plaudit-response="..."> ... <button data-plaudit="like">Like</button>
// A click on like or dislike votes, a second click takes the vote back; aria-pressed shows what holds.
//
// Options on the script element: data-endpoint; data-idle, seconds without scroll, pointer or key after which nobody
// is reading (60); data-every, seconds between messages (15). No API key, no cookie, no dependency.
// What is served is this file without comments and indentation.
(() => {
  const doc = document, own = doc.currentScript, options = own.dataset, answers = new Map();
  const endpoint = options.endpoint || new URL("feedback/browser", own.src).href;
  const idle = 1000 * (options.idle || 60);
  const agent = navigator.userAgent;
  const device = /iPad|Tablet|Android(?!.*Mobi)/.test(agent) ? "tablet" : /Mobi/.test(agent) ? "mobile" : "desktop";
  const hex = (number, width) => number.toString(16).padStart(width, 0);
  const random = (bytes) => [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => hex(byte, 2)).join("");
  const clock = () => performance.now();
  // Storage may be forbidden: then what is remembered ends with the page.
  const stored = (kind, key, value) => {
    try {
      const storage = window[kind + "Storage"];
      if (value != null) storage[key] = value;
      return storage[key];
    } catch {}
  };
  // A token takes the first nonce that comes with it and no other: kept, so that a reload is the same browser.
  const nonce = stored("local", "plaudit") || random(16);
  stored("local", "plaudit", nonce);
  let lastId = 0, active = clock();

  // A UUID version 7: milliseconds, a counter within them, random bits; ids of this page ascend.
  const eventId = () => {
    lastId = Math.max(lastId + 1, Date.now() * 1024);
    const time = hex(Math.floor(lastId / 1024), 12), tail = random(8);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(lastId % 1024, 3)}-a${tail.slice(0, 3)}-${tail.slice(4)}`;
  };

  // Text needs no preflight. A beacon outlives the page, and where there is none, a request that does so too.
  const post = (answer) => {
    const events = answer.queue.splice(0);
    const body = JSON.stringify({
      token: answer.token, response_id: answer.id, nonce, device, sent_at: Date.now() / 1000, events
    });
    if (!navigator.sendBeacon?.(endpoint, body))
      fetch(endpoint, {method: "POST", body, keepalive: true, mode: "no-cors"}).catch(() => answer.queue.unshift(...events));
  };

  const add = (answer, signal, more) =>
    answer.queue.push({event_id: eventId(), signal, created_at: Date.now() / 1000, ...more});

  // Adds what was read since the last look, never past the moment at which the reader went idle.
  const look = () => {
    const now = clock();
    for (const answer of answers.values()) {
      if (answer.reading) answer.read += Math.max(0, Math.min(now, active + idle) - answer.since);
      answer.since = now;
      answer.reading = answer.inView && !doc.hidden && doc.hasFocus();
      if (answer.reading && !answer.shown) answer.shown = add(answer, "shown");
    }
  };

  // In between only growth by a fifth is told, so that long reading makes few events; at the end, all of it.
  const flush = (end) => {
    look();
    for (const answer of answers.values()) {
      const value = Math.round(answer.read / 10) / 100;
      if (value > (end ? answer.told : answer.told * 1.2 + 1)) {
        answer.told = value;
        stored("session", answer.token, value);
        add(answer, "dwell", {value});
      }
      if (answer.queue[0]) post(answer);
    }
  };

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) answers.get(entry.target).inView = entry.isIntersecting;
    look();
  });

  const answered = (element, id, token) => {
    // After a reload reading goes on where it was: the last dwell of an answer is the one that counts.
    const told = +stored("session", token) || 0;
    const say = (signal, more) => {
      add(answer, signal, more);
      for (const button of element.querySelectorAll("[data-plaudit]"))
        if (/like/.test(button.dataset.plaudit)) button.ariaPressed = button.dataset.plaudit == answer.vote;
      flush();
    };
    const answer = {
      id, token, told, read: told * 1000, since: clock(), queue: [],
      set: (signal, more) => {
        if (/like/.test(signal)) answer.vote = signal;
        say(signal, more);
      },
      withdraw: (signal, more) => {
        if (answer.vote == signal) answer.vote = 0;
        say(signal, {...more, operation: "withdraw"});
      }
    };
    answers.set(element, answer);
    watcher.observe(element);
    return answer;
  };

  const answerOf = (node) => {
    for (; node; node = node.parentNode) if (answers.has(node)) return answers.get(node);
  };
  const on = (target, names, act) => {
    for (const name of names.split(" ")) target.addEventListener(name, act, {capture: true, passive: true});
  };

  on(doc, "click", (event) => {
    const signal = event.target.closest("[data-plaudit]")?.dataset.plaudit, answer = answerOf(event.target);
    if (signal && answer) answer[answer.vote == signal ? "withdraw" : "set"](signal);
  });
  on(doc, "copy", () => answerOf(getSelection().anchorNode)?.set("copy"));
  on(window, "scroll wheel pointermove pointerdown keydown", () => {
    if (clock() - active > 500) {
      look();
      active = clock();
    }
  });
  on(window, "focus blur", look);
  on(doc, "visibilitychange", () => flush(doc.hidden));
  on(window, "pagehide", () => flush(1));
  setInterval(flush, 1000 * (options.every || 15));

  const scan = () => {
    for (const element of doc.querySelectorAll("[data-plaudit-token]")) {
      const {plauditResponse, plauditToken} = element.dataset;
      if (!answers.has(element)) answered(element, plauditResponse, plauditToken);
    }
  };
  on(doc, "DOMContentLoaded", scan);
  scan();
  window.plaudit = {answered, scan, flush: () => flush(1)};
})();
