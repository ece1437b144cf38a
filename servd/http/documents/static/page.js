"use strict";
(() => {
  const form = document.querySelector("form"), shown = document.querySelector("output");
  if (!form) return;
  const kept = "servd token", tokens = () => { try { return sessionStorage.getItem(kept) || ""; } catch { return ""; } };
  const keep = (token) => { try { sessionStorage.setItem(kept, token); } catch { /* not kept, then */ } };
  const field = (name) => form.querySelector(`[data-part="${name}"]`);
  const tell = (status, text, isBad) => {
    const line = document.createElement("p"), block = document.createElement("pre");
    line.className = "status";
    line.textContent = status;
    block.textContent = text;
    shown.className = isBad ? "bad" : "";
    shown.replaceChildren(line, block);
    return block;
  };
  const headers = (more) => {
    const given = field("token"), token = given ? given.value.trim() || tokens() : "";
    if (given && token) keep(token);
    return token ? { ...more, Authorization: `Bearer ${token}` } : more;
  };

  // A page that was refused for want of a token: asked for again with one.
  if (form.dataset.kind === "token") {
    const open = async (event) => {
      if (event) event.preventDefault();
      const answer = await fetch(location.href, { headers: headers({ Accept: "text/html" }) });
      const text = await answer.text();
      if (!answer.ok) { if (event) tell(`${answer.status} ${answer.statusText}`, "This token is not the one that the server has.", true); return; }
      document.open(); document.write(text); document.close();
    };
    form.addEventListener("submit", (event) => { open(event).catch((why) => tell("no answer", String(why), true)); });
    if (tokens()) open().catch(() => undefined);
    return;
  }

  const mark = (faults) => {
    for (const old of form.querySelectorAll(".wrong")) old.remove();
    for (const entry of form.querySelectorAll("[data-part=field]")) {
      const own = faults.filter((fault) => fault.loc && fault.loc[1] === entry.name);
      if (!own.length) { entry.removeAttribute("aria-invalid"); continue; }
      const said = document.createElement("small");
      said.className = "wrong";
      said.textContent = own.map((fault) => fault.msg).join("; ");
      entry.setAttribute("aria-invalid", "true");
      entry.after(said);
    }
    const first = form.querySelector("[aria-invalid]");
    if (first) first.focus();
  };
  const value = (entry) => {
    const kind = entry.dataset.kind, text = entry.value;
    if (kind === "file") return entry.files.length ? base64(entry.files[0]) : undefined;
    if (kind === "text") return text;
    if (text.trim() === "") return undefined;
    try { return JSON.parse(text); } catch (why) {
      if (entry.dataset.part === "field") return text; // the server says what is wanted there
      entry.focus();
      throw new Error(`${entry.name || "The input"} is not JSON: ${why.message}`);
    }
  };
  const base64 = (file) => new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
  const input = async () => {
    const file = field("file"), whole = field("whole");
    if (file && file.files.length) return base64(file.files[0]);
    if (whole) return value(whole);
    const named = {};
    for (const entry of form.querySelectorAll("[data-part=field]")) {
      const given = entry.dataset.kind === "text" && entry.value === "" && !entry.required ? undefined : await value(entry);
      if (given !== undefined) named[entry.name] = given;
    }
    return named;
  };
  const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 1); } catch { return text; } };

  const stream = async (answer, began) => {
    const block = tell("", ""), reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", count = 0;
    for (;;) {
      const { value: text, done } = await reader.read();
      if (done) break;
      const events = (rest + text).split(/\r?\n\r?\n/);
      rest = events.pop();
      for (const event of events) {
        const lines = event.split(/\r?\n/), of = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
        const kind = of("event")[0] || "message", data = of("data");
        if (!data.length) continue;
        if (kind === "message") count += 1;
        if (kind === "error") shown.className = "bad";
        block.append((kind === "message" ? "" : `${kind}: `) + data.join("\n") + "\n");
        shown.querySelector(".status").textContent = `${answer.status}, ${count} items in ${(performance.now() - began).toFixed(0)} ms`;
      }
    }
  };

  const send = async (asStream) => {
    mark([]);
    const body = JSON.stringify({ input: await input() }), began = performance.now();
    const answer = await fetch(form.dataset.path, {
      method: "POST", body,
      headers: headers({ "Content-Type": "application/json", Accept: asStream ? "text/event-stream" : "application/json" }),
    });
    if (asStream && answer.ok && (answer.headers.get("Content-Type") || "").startsWith("text/event-stream")) return stream(answer, began);
    const text = await answer.text(), took = performance.now() - began;
    try { mark(JSON.parse(text).detail || []); } catch { /* it says nothing of fields */ }
    tell(`${answer.status} ${answer.statusText} in ${took.toFixed(1)} ms`, pretty(text), !answer.ok);
    return undefined;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    button.disabled = true;
    try { await send(button.dataset.part === "stream"); } catch (why) { tell("not sent, or no answer", why.message, true); }
    button.disabled = false;
  });
  const curl = document.getElementById("curl");
  if (curl) curl.textContent = curl.textContent.replace("http://HOST:PORT", location.origin);
  for (const button of form.querySelectorAll("button")) button.disabled = false;
})();
