"use strict";
// Uploads need this file; everything else is comfort, and every other form works without it.
const csrf = document.querySelector("meta[name=csrf]").content;

function uploadBox() {
  const form = document.getElementById("drop");
  if (!form) return;
  const zone = form.querySelector(".dropzone"), input = document.getElementById("files"), picked = document.getElementById("picked");
  const show = () => { if (input.files.length) picked.textContent = "已选：" + [...input.files].map(f => f.name).join("、"); };
  input.addEventListener("change", show);
  for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, e => { e.preventDefault(); zone.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, e => { e.preventDefault(); zone.classList.remove("over"); });
  zone.addEventListener("drop", e => { input.files = e.dataTransfer.files; show(); if (input.files.length) form.requestSubmit(); });
}

// What a page of the server says where it refuses something.
async function refusal(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return (page.querySelector(".problem") || page.body).textContent;
}

// Files go with the token in a header; a refusal is shown beside the form and keeps what was chosen.
function sendFiles() {
  document.querySelectorAll("form[enctype]").forEach(form => form.addEventListener("submit", async e => {
    e.preventDefault();
    const button = form.querySelector("button");
    const say = text => {
      let said = form.querySelector(".problem");
      if (!said) { said = document.createElement("p"); said.className = "problem"; said.setAttribute("role", "alert"); form.append(said); }
      said.textContent = text;
    };
    const most = Number(form.dataset.most || 0), files = form.querySelector("input[type=file]").files.length;
    if (most && files > most) { say(`选了${files}个文件，一次最多${most}个；请分几次上传，或打成一个压缩包`); return; }
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", headers: { "x-csrftoken": csrf, accept: "text/html" }, body: new FormData(form) });
      if (answer.ok && new URL(answer.url).pathname === "/login") { say("登录已失效，内容没有上传；请在另一个窗口登录后再点一次"); return; }
      if (answer.ok) { location.assign(answer.url); return; }
      say(await refusal(answer));
    } catch { say("没有连上服务器，内容没有上传；请检查网络后再点一次"); }
    finally { button.disabled = false; }
  }));
}

function begun() {
  const fields = [...document.querySelectorAll("textarea, input:not([type=hidden])")];
  return fields.some(f => f.type === "file" ? f.files.length : f.type === "checkbox" || f.type === "radio" ? f.checked !== f.defaultChecked : f.value !== f.defaultValue);
}

function watchUploads() {
  const list = document.getElementById("uploads");
  if (!list) return;
  const busy = () => list.querySelector(".queued, .running");
  const tick = async () => {
    const answer = await fetch("/uploads/recent", { headers: { "x-csrftoken": csrf } });
    if (answer.ok && !answer.redirected) list.innerHTML = await answer.text();
    // A page in which somebody is typing is left alone: a reload would lose the words.
    if (busy()) setTimeout(tick, 1500); else if (!begun()) location.reload();
  };
  if (busy()) setTimeout(tick, 1000);
}

function findings() {
  const cards = [...document.querySelectorAll(".finding")];
  if (!cards.length) return;
  let current = cards.findIndex(c => "#" + c.id === location.hash);
  const go = index => {
    if (index < 0 || index >= cards.length) return;
    current = index;
    document.querySelectorAll(".current").forEach(e => e.classList.remove("current"));
    cards[index].classList.add("current");
    // Tab goes on inside the card, and a screen reader says where one is.
    cards[index].focus({ preventScroll: true });
    cards[index].scrollIntoView({ block: "nearest" });
    const number = cards[index].id.slice(1);
    const marks = [...document.querySelectorAll("#text mark")].filter(m => m.dataset.n.split(" ").includes(number));
    marks.forEach(m => m.classList.add("current"));
    if (marks[0]) marks[0].scrollIntoView({ block: "nearest" });
  };
  if (current >= 0) go(current);
  document.querySelectorAll("#text mark").forEach(m => m.addEventListener("click", () => go(cards.findIndex(c => c.id === "f" + m.dataset.n.split(" ")[0]))));
  document.addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || /INPUT|TEXTAREA|SELECT/.test(e.target.tagName)) return;
    const key = e.key.toLowerCase();
    if (key === "n") go(current + 1);
    else if (key === "p") go(current - 1);
    else if ((key === "a" || key === "d") && current >= 0) {
      const form = cards[current].querySelector("form.decide");
      if (!form) return;
      e.preventDefault();
      const reason = form.elements.reason;
      if (key === "d" && !reason.value.trim()) { form.dataset.enter = "dismiss"; reason.focus(); return; }
      form.requestSubmit(form.querySelector(`button[value=${key === "a" ? "accept" : "dismiss"}]`));
    }
  });
  // Enter in the field of reasons would press the first button, 确认; after `d` it has to mean 排除.
  document.querySelectorAll(".finding form.decide").forEach(form => form.elements.reason.addEventListener("keydown", e => {
    if (e.key === "Escape") { delete form.dataset.enter; e.target.blur(); }
    if (e.key !== "Enter" || e.isComposing) return;
    e.preventDefault();
    if (form.dataset.enter === "dismiss" && !e.target.value.trim()) return;
    form.requestSubmit(form.querySelector(`button[value=${form.dataset.enter || "accept"}]`));
  }));
}

// Code points before a place in the text, without the numbers that the page adds.
function codePointsBefore(root, node, offset) {
  const range = document.createRange();
  range.selectNodeContents(root);
  range.setEnd(node, offset);
  const part = range.cloneContents();
  part.querySelectorAll("sup").forEach(s => s.remove());
  return [...part.textContent].length;
}

function selection() {
  const text = document.getElementById("text"), form = document.getElementById("add");
  if (!text || !form) return;
  document.addEventListener("selectionchange", () => {
    const chosen = getSelection();
    if (!chosen.rangeCount || chosen.isCollapsed) return;
    const range = chosen.getRangeAt(0);
    if (!text.contains(range.startContainer) || !text.contains(range.endContainer)) return;
    const start = codePointsBefore(text, range.startContainer, range.startOffset), end = codePointsBefore(text, range.endContainer, range.endOffset);
    if (end <= start) return;
    form.elements.start.value = start;
    form.elements.end.value = end;
    const part = range.cloneContents();
    part.querySelectorAll("sup").forEach(s => s.remove());
    document.getElementById("chosen").textContent = part.textContent;
    form.hidden = false;
  });
}

async function check(text, out) {
  const answer = await fetch("/rewrite", { method: "POST", headers: { "x-csrftoken": csrf }, body: new URLSearchParams({ text }) });
  out.replaceChildren();
  if (answer.redirected) { out.textContent = "登录已失效；请在另一个窗口登录后再检查。"; return null; }
  if (!answer.ok) { out.textContent = text.trim() ? await refusal(answer) : "请先写一句话再检查。"; return null; }
  const { findings, clean } = await answer.json();
  if (!findings.length) {
    const p = document.createElement("p");
    p.className = "good";
    p.textContent = `${clean}。`;
    out.append(p);
  }
  for (const f of findings) {
    const p = document.createElement("p");
    p.className = "problem";
    p.textContent = `${f.label}：“${f.text}”。${f.suggestion}`;
    out.append(p);
  }
  return findings;
}

function trying() {
  const button = document.getElementById("check"), field = document.getElementById("rewrite");
  if (!button) return;
  button.addEventListener("click", () => check(field.value, document.getElementById("rewritten")));
  field.addEventListener("keydown", e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) button.click(); });
}

// A new wording is checked first; one that still has a problem is kept only when it is sent a second time.
function rewrites() {
  document.querySelectorAll("form.rewrite").forEach(form => form.addEventListener("submit", async e => {
    const field = form.elements.rewrite, button = form.querySelector("button");
    if (form.dataset.checked === field.value) return;
    e.preventDefault();
    const findings = await check(field.value, form.querySelector(".checked"));
    if (findings === null) return;
    form.dataset.checked = field.value;
    if (!findings.length) form.requestSubmit();
    else button.textContent = "仍然保存";
  }));
}

uploadBox(); sendFiles(); watchUploads(); findings(); selection(); trying(); rewrites();
