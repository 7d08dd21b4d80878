// What makes the dashboard's pages live: the theme, the events of the broker, and seconds that count down. Every page works
// without it. It changes what has changed and nothing else: no row moves and no focus is lost under someone's hand.
(() => {
  "use strict";

  // The theme, before anything is painted.
  const THEMES = ["system", "light", "dark"];
  const root = document.documentElement;
  const wear = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  const remembered = () => {
    try {
      const theme = localStorage.getItem("weir-theme");
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      return "system"; // Where nothing may be kept, the system's it is.
    }
  };
  wear(remembered());

  const themeButton = () => {
    const button = document.getElementById("theme");
    if (!button) return;
    let theme = remembered();
    const show = () => {
      button.querySelector("span").textContent = theme;
      wear(theme);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try {
        localStorage.setItem("weir-theme", theme);
      } catch {
        // It holds for this page then.
      }
      show();
    });
    show();
  };

  // Numbers, as the server writes them.
  const number = (n) => n.toLocaleString("en-US");
  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (unit + 1 < units.length && n >= 1024 ** (unit + 1)) unit += 1;
    return `${(n / 1024 ** unit).toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
  };
  const countsBytes = (resource) => resource === "publish_bytes" || resource === "receive_bytes";
  const amount = (resource, n) => (countsBytes(resource) ? bytes(n) : number(n));
  const isLimited = (limit) => limit.max !== null && limit.max !== undefined;
  const rate = (limit) => (isLimited(limit) ? `${amount(limit.resource, limit.max)}/${limit.window}` : "none");
  const share = (limit) => (limit.max === 0 ? 1 : limit.used / limit.max);
  const percent = (of) => `${number(Math.max(0, Math.floor(of * 100 + 1e-9)))} %`;
  const level = (of) => (of >= 1 ? "full" : of >= 0.8 ? "warn" : "ok");
  const duration = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    const [large, largeUnit, small, smallUnit] =
      seconds < 3600 ? [seconds / 60, "min", seconds % 60, "s"]
      : seconds < 86400 ? [seconds / 3600, "h", (seconds % 3600) / 60, "min"]
      : [seconds / 86400, "d", (seconds % 86400) / 3600, "h"];
    const rest = Math.floor(small);
    return `${Math.floor(large)} ${largeUnit}` + (rest ? ` ${rest} ${smallUnit}` : "");
  };

  // Changing what is shown.
  const part = (row, name) => (row.dataset.f === name ? row : row.querySelector(`[data-f="${name}"]`));
  const say = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };
  const fillBar = (row, of) => {
    const bar = part(row, "bar");
    if (!bar) return;
    bar.querySelector(".fill").setAttribute("width", Math.min(100, Math.max(0, of * 100)).toFixed(1));
    const shown = part(row, "percent");
    bar.dataset.level = shown.dataset.level = level(of);
    say(shown, percent(of));
  };
  const announce = (text) => say(document.getElementById("announce"), text);

  // Who is told aloud: only that a limit has come to 80 % or is reached, and once.
  const levels = new Map();
  const heed = (key, name, of) => {
    const now = level(of);
    const before = levels.get(key);
    levels.set(key, now);
    if (before !== undefined && before !== now && now !== "ok" && before !== "full") announce(`${name} is at ${percent(of)}`);
  };

  // Makes the rows of a table those of `items`, each filled in; a row that is there already stays the same row.
  const fillTable = (id, items, keyOf, fill) => {
    const body = document.getElementById(id);
    const rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    // No row may move from under a pointer or a focus: new ones wait until it has gone.
    const held = body.matches(":focus-within") || (matchMedia("(hover: hover)").matches && body.matches(":hover"));
    const template = document.getElementById(body.dataset.template);
    let at = body.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      let row = rows.get(key);
      rows.delete(key);
      if (row) {
        fill(row, item);
        if (held) continue;
      } else {
        if (held) continue;
        row = template.content.firstElementChild.cloneNode(true);
        row.dataset.key = key;
        fill(row, item);
      }
      if (row === at) at = at.nextElementSibling;
      else body.insertBefore(row, at);
    }
    if (!held) for (const row of rows.values()) row.remove();
    const empty = document.querySelector(`[data-empty="${id}"]`);
    if (empty) empty.hidden = body.rows.length > 0;
  };

  const fullestOf = (limits, resource) => {
    const limited = limits.filter((limit) => limit.resource === resource && isLimited(limit));
    return limited.sort((one, other) => share(other) - share(one))[0];
  };

  const fillProfile = (row, profile) => {
    const name = part(row, "name");
    say(name, profile.name);
    name.setAttribute("href", `/profiles/${encodeURIComponent(profile.name)}`);
    say(part(row, "plan"), profile.plan);
    part(row, "counted").hidden = profile.enforce;
    const fullest = fullestOf(profile.limits, profile.fullest_resource);
    part(row, "meter").hidden = !fullest;
    say(part(row, "of"), fullest ? `${fullest.resource} ${rate(fullest)}` : "no limits");
    if (fullest) {
      fillBar(row, profile.fullest);
      heed(profile.name, `${profile.name}: ${fullest.resource}`, profile.fullest);
    }
    for (const cell of row.querySelectorAll("[data-resource]")) {
      const resource = cell.dataset.resource;
      const limit = fullestOf(profile.limits, resource) ?? profile.limits.find((limit) => limit.resource === resource);
      say(part(cell, "used"), limit ? amount(resource, limit.used) : "–");
      say(part(cell, "limit"), limit && isLimited(limit) ? ` / ${rate(limit)}` : "");
    }
    say(part(row, "connections"), number(profile.connections));
    say(part(row, "denied"), number(profile.denied));
    part(row, "denied").classList.toggle("denied", profile.denied > 0);
  };

  const LENGTHS = { s: 1, min: 60, h: 3600, day: 86400 };
  const countDown = (cell, seconds) => {
    cell.dataset.ends = Date.now() + seconds * 1000;
    say(cell, duration(seconds));
  };
  const tick = () => {
    for (const cell of document.querySelectorAll("[data-ends]")) {
      let left = Math.ceil((cell.dataset.ends - Date.now()) / 1000);
      const length = LENGTHS[cell.parentElement.dataset.window];
      if (left <= 0 && length) left = length - (-left % length);
      say(cell, duration(Math.max(left, 1)));
    }
  };

  const fillLimit = (row, limit) => {
    say(part(row, "rate"), rate(limit));
    say(part(row, "used"), amount(limit.resource, limit.used));
    if (isLimited(limit)) {
      fillBar(row, share(limit));
      heed(row.dataset.key, limit.resource, share(limit));
    }
    say(part(row, "denied"), number(limit.denied));
    part(row, "denied").classList.toggle("denied", limit.denied > 0);
    const reset = part(row, "reset");
    reset.title = limit.resets_at;
    countDown(reset, limit.reset_seconds);
  };

  const fillDevice = (row, device) => {
    for (const name of ["connections", "published", "published_total", "received", "received_total", "denied", "denied_total"]) {
      say(part(row, name), number(device[name]));
    }
    say(part(row, "device"), device.device);
    const own = device.limits.filter(isLimited);
    say(part(row, "own"), own.map((limit) => `${limit.resource} ${amount(limit.resource, limit.used)} / ${rate(limit)}`).join(", "));
    part(row, "denied-cell").classList.toggle("denied", device.denied > 0);
  };

  const fillDenial = (row, denial) => {
    const time = part(row, "time");
    time.setAttribute("datetime", denial.at);
    const at = new Date(denial.at);
    say(time, Number.isNaN(at.getTime()) ? denial.at : at.toISOString().slice(11, 19));
    for (const name of ["client_id", "resource", "limit", "answer", "text"]) say(part(row, name), denial[name]);
    say(part(row, "device"), denial.device ?? "(anonymous)");
    say(part(row, "untold-text"), denial.text);
    const told = denial.protocol === "HTTP" || (denial.protocol === "5" && denial.answer.includes("0x"));
    part(row, "text").hidden = !told;
    part(row, "untold").hidden = told;
    say(part(row, "protocol"), /^\d/.test(denial.protocol) ? `MQTT ${denial.protocol}` : denial.protocol);
  };

  const showProfiles = (event) => {
    fillTable("profiles", event.profiles, (profile) => profile.name, fillProfile);
    say(document.querySelector('[data-f="total"]'), number(event.total));
  };

  const showLimits = (event) => {
    const rows = new Map([...document.getElementById("limits").rows].map((row) => [row.dataset.key, row]));
    const keyOf = (limit) => `${limit.resource}|${limit.limit ?? ""}`;
    // Another plan has other rows: the page is asked for again.
    if (event.profile.limits.length !== rows.size || !event.profile.limits.every((limit) => rows.has(keyOf(limit)))) {
      location.reload();
      return;
    }
    for (const limit of event.profile.limits) fillLimit(rows.get(keyOf(limit)), limit);
    say(document.querySelector('.facts [data-f="connections"]'), number(event.profile.connections));
    fillTable("devices", event.busiest, (device) => device.device, fillDevice);
    const seen = new Map();
    fillTable("denials", event.denials, (denial) => {
      // Alike ones are told apart by how many there were before.
      const key = `${denial.at}|${denial.client_id}|${denial.resource}|${denial.answer}`;
      const times = seen.get(key) ?? 0;
      seen.set(key, times + 1);
      return times ? `${key}|${times}` : key;
    }, fillDenial);
  };

  // The broker's events.
  const follow = (main) => {
    const state = document.getElementById("live");
    const tell = (name, text) => {
      state.hidden = false;
      if (state.dataset.state === name) return;
      state.dataset.state = name;
      say(part(state, "state"), text);
    };
    const [name, url, show] = main.dataset.live === "limits"
      ? ["limits", `/api/v1/events?profile=${encodeURIComponent(main.dataset.profile)}`, showLimits]
      : ["profiles", "/api/v1/events", showProfiles];
    let events = null;
    const connect = () => {
      if (events || document.hidden) return;
      const mine = (events = new EventSource(url));
      mine.addEventListener("open", () => tell("on", "live"));
      mine.addEventListener(name, (event) => {
        tell("on", "live");
        show(JSON.parse(event.data));
      });
      mine.addEventListener("error", () => {
        tell("lost", "not live, trying again");
        if (mine.readyState !== EventSource.CLOSED || mine !== events) return;
        // Refused rather than interrupted: the browser gives up, so the page asks again. Asking for itself shows whether
        // it has to be signed in again.
        events = null;
        again([]).catch(() => {});
        setTimeout(connect, 5000);
      });
    };
    const stop = () => {
      events?.close();
      events = null;
    };
    connect();
    // A browser opens few connections to one place: a page that no one sees leaves them to the others.
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : connect()));
    addEventListener("pagehide", stop);
    addEventListener("pageshow", connect);
  };

  // Parts that are asked for again as a whole, unless someone is at work in them.
  const again = async (ids) => {
    if (document.hidden) return;
    const url = new URL(location.href);
    // What was chosen by itself stays chosen.
    for (const select of document.querySelectorAll("select[data-submit]")) url.searchParams.set(select.name, select.value);
    const answer = await fetch(url, { headers: { accept: "text/html" } });
    if (answer.redirected || answer.status === 401) { location.reload(); return; }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ids) {
      const [old, next] = [document.getElementById(id), fresh.getElementById(id)];
      if (!old || !next || old.contains(document.activeElement) || old.querySelector("details[open]")) continue;
      // A chart keeps how far it was scrolled.
      const lefts = [...old.querySelectorAll(".scroll")].map((element) => element.scrollLeft);
      const placed = document.importNode(next, true);
      old.replaceWith(placed);
      dress(placed);
      placed.querySelectorAll(".scroll").forEach((element, place) => { element.scrollLeft = lefts[place] ?? element.scrollLeft; });
    }
  };

  // What a script can spare: a button beside a list to choose from, and the way to the newest end of a chart.
  const dress = (where) => {
    for (const drawing of where.querySelectorAll(".chart > .scroll")) drawing.scrollLeft = drawing.scrollWidth;
    for (const select of where.querySelectorAll("select[data-submit]")) {
      select.form.querySelector("button").hidden = true;
      select.addEventListener("change", () => select.form.requestSubmit());
    }
  };

  addEventListener("DOMContentLoaded", () => {
    themeButton();
    dress(document);
    const main = document.getElementById("main");
    for (const cell of document.querySelectorAll("[data-seconds]")) countDown(cell, Number(cell.dataset.seconds));
    setInterval(tick, 1000);
    if (main.dataset.live) follow(main);
    if (main.dataset.again) {
      const ids = main.dataset.again.split(" ");
      // A broker that is away is asked again the next time.
      setInterval(() => again(ids).catch(() => {}), Number(main.dataset.every) * 1000);
    }
  });
})();
