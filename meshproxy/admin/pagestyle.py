"""The look and the behaviour of the status page: a style sheet and a script, both part of the page.

Neither the style nor the script has anything of the configuration in it, so their hashes are known, and the page's
policy (Content Security Policy, level 3) lets nothing else run or be loaded.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

COLORS = 10
"""Endpoints of one drawing that are told apart by their colours; these then repeat."""

STYLE = """
:root{color-scheme:light dark;--page:#f7f7f5;--card:#fff;--ink:#1b1e22;--quiet:#565d66;--line:#e2e3e0;--soft:#f1f1ee;
--link:#1f56a8;--ok:#1b6e41;--warn:#7d5200;--bad:#b3261e;--ok-soft:#e6f3eb;--warn-soft:#faf0dc;--bad-soft:#fbe9e7;
--c0:#3f6fb5;--c1:#d9822b;--c2:#3d9a74;--c3:#b5508a;--c4:#8a7d2e;--c5:#6a5acd;--c6:#c6504a;--c7:#2c97a8;--c8:#8d6e63;
--c9:#7b8794}
@media(prefers-color-scheme:dark){:root{--page:#121416;--card:#1a1d20;--ink:#e7e8ea;--quiet:#a5adb6;--line:#2e3338;
--soft:#22262a;--link:#8db8f5;--ok:#74cf9a;--warn:#eebf66;--bad:#ff9187;--ok-soft:#173024;--warn-soft:#352a13;
--bad-soft:#3b1d1b;--c0:#7aa7e6;--c1:#f0a860;--c2:#6fc9a2;--c3:#dd8fbb;--c4:#c5b85a;--c5:#a79cf0;--c6:#f08a84;
--c7:#67c5d4;--c8:#bda097;--c9:#a9b4bf}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
a{color:var(--link);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-99em}
.skip:focus{left:1rem;top:1rem;z-index:1;padding:.5rem .8rem;background:var(--card)}
.hidden{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.5rem}
header{display:flex;flex-wrap:wrap;gap:.3rem 1.5rem;align-items:baseline;padding-top:1.6rem}
h1{font-size:1.3rem;margin:0;letter-spacing:-.01em}
h2{font-size:1.05rem;margin:2.6rem 0 .8rem;letter-spacing:-.005em}
h3{font-size:.97rem;margin:0;overflow-wrap:anywhere}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;margin:0;padding:0;font-size:.9rem}
header nav{margin-left:auto}
p{margin:.4rem 0}
.quiet,.quiet a{color:var(--quiet)}
small,.small{font-size:.85rem}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.87em}
.place{color:var(--quiet);overflow-wrap:break-word}
.lead{font-size:1.05rem;margin:1rem 0 1.1rem}
.facts{display:grid;grid-template-columns:repeat(6,1fr);gap:1px;margin:0;background:var(--line);
border:1px solid var(--line);border-radius:8px;overflow:hidden}
.facts div{background:var(--card);padding:.7rem 1rem}
.facts dt{color:var(--quiet);font-size:.82rem}
.facts dd{margin:.05rem 0 0;font-size:1.15rem;font-weight:600;overflow-wrap:anywhere}
.facts dd small{display:block;font-weight:400;color:var(--quiet);font-size:.8rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;margin:0 0 1rem;overflow:hidden}
.card>.top{padding:.85rem 1.1rem .7rem;display:flex;flex-wrap:wrap;gap:.1rem 1rem;align-items:baseline}
.card>.top p{margin:0;font-size:.88rem;color:var(--quiet);overflow-wrap:anywhere}
.card>.top .word{margin-left:auto}
.body{padding:.7rem 1.1rem 1rem}.top+.body{padding:0 1.1rem .8rem}
.word{font-size:.88rem;font-weight:600}td .word{font-weight:500}
.line{list-style:none;margin:0;padding:0;display:flex;flex-wrap:wrap;gap:.1rem 1.6rem;font-size:.86rem;
color:var(--quiet)}
.line strong{font-weight:600;color:var(--ink)}
.word::before{content:"";display:inline-block;width:.55em;height:.55em;margin-right:.45em;border-radius:50%;
background:currentColor;vertical-align:.08em}
.word.warn::before{border-radius:1px}
.word.bad::before{border-radius:0;clip-path:polygon(50% 0,100% 100%,0 100%);height:.62em;width:.68em}
.ok{color:var(--ok)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.note{border-radius:8px;padding:.7rem 1rem;margin:.8rem 0}
.note.bad{background:var(--bad-soft)}.note.warn{background:var(--warn-soft)}.note.ok{background:var(--ok-soft)}
.note p{margin:.1rem 0}
.drawing{padding:.4rem 1.1rem 1rem;border-top:1px solid var(--line);display:flex;flex-wrap:wrap;gap:.4rem 1.6rem;
align-items:center}
.drawing svg{display:block;width:11rem;height:auto;max-width:100%}
.drawing figcaption{flex:1;min-width:13rem;font-size:.88rem}
figure{margin:0}
.key{list-style:none;margin:.5rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.15rem 1.2rem}
.swatch{display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.5em;background:currentColor}
table{width:100%;border-collapse:collapse;font-size:.9rem}
.endpoints{table-layout:fixed}
.endpoints thead th:first-child{width:15%}.endpoints thead th:nth-child(2){width:16%}
.endpoints thead th:nth-child(5){width:12%}.endpoints thead th:last-child{width:8.4%}
th,td{padding:.42rem .6rem;text-align:left;vertical-align:baseline;border-top:1px solid var(--line)}
thead th{font-weight:500;font-size:.8rem;color:var(--quiet);white-space:nowrap}
th:first-child,td:first-child{padding-left:1.1rem}th:last-child,td:last-child{padding-right:1.1rem}
tbody th{font-weight:400;overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap}
tbody tr:hover{background:var(--soft)}
.zero{color:var(--quiet)}
.why{display:block;font-size:.82rem;color:var(--quiet);white-space:normal;overflow-wrap:anywhere}
.share{display:flex;gap:.5rem;align-items:center;justify-content:flex-end}
.share svg{width:3.2rem;height:.4rem;flex:none}
.track{fill:var(--soft)}.fill{fill:var(--c0)}
summary{cursor:pointer;padding:.6rem 1.1rem}
details+details{border-top:1px solid var(--line)}
summary:hover{background:var(--soft)}
form{display:grid;gap:.9rem 1.2rem;grid-template-columns:2fr 1fr;align-items:start}
form .wide{grid-column:1/-1}
label{display:block;font-size:.88rem;font-weight:500;margin-bottom:.2rem}
label small{color:var(--quiet);font-weight:400}
input,textarea{width:100%;font:inherit;font-size:.95rem;color:inherit;background:var(--page);
border:1px solid var(--quiet);
border-radius:6px;padding:.45rem .6rem}
textarea{min-height:4.4rem;resize:vertical;display:block}
button{font:inherit;font-weight:600;font-size:.92rem;padding:.45rem 1.1rem;border-radius:6px;
border:1px solid var(--link);
background:var(--link);color:var(--card);cursor:pointer}
button.plain{background:none;color:var(--link);padding:.1rem .6rem;font-weight:500;font-size:.85rem}
.filter{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end;margin:0 0 1rem}
.filter div{flex:1;min-width:12rem;max-width:24rem}
pre{margin:.8rem 0 0;padding:.9rem 1.1rem;background:var(--soft);border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere}
.outcome{margin:1.4rem 0 .6rem}.outcome .word{font-size:1.02rem}
.decisions{margin:0;font-size:.9rem}
.decisions div{display:grid;grid-template-columns:8.5rem 1fr;border-top:1px solid var(--line);padding:.3rem 0}
.decisions dt{color:var(--quiet);grid-row:span 40}.decisions .sub dt{padding-left:1rem}
.decisions dd{margin:0;grid-column:2;overflow-wrap:anywhere;display:flex;flex-wrap:wrap;gap:0 1.5rem;
justify-content:space-between}
.decisions .place{font-size:.93em}
ul{padding-left:1.2rem}
.findings{list-style:none;padding:0;margin:.4rem 0}
.findings li{padding:.5rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
.findings li:first-child{border-top:0}
footer{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;align-items:center;margin-top:2.5rem;padding-bottom:2rem;
color:var(--quiet);font-size:.87rem}
footer p{margin:0}
[hidden]{display:none!important}
.routes{table-layout:fixed}
.routes thead th:first-child{width:4.2rem}.routes thead th:nth-child(2){width:30%}
.routes thead th:nth-child(4){width:19%}
.routes td,.routes th{overflow-wrap:anywhere}
@media(max-width:62rem){
.facts{grid-template-columns:repeat(3,1fr)}
.endpoints th .why{display:inline-block;margin-left:1rem;font-weight:400}
.endpoints,.endpoints tbody,.endpoints th,.endpoints td{display:block}
.endpoints thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.endpoints tbody tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.4rem,1fr));gap:.05rem 1.6rem;
padding:.6rem 1.1rem;border-top:1px solid var(--line)}
.endpoints tbody tr>*{border:0;padding:.08rem 0;width:auto}
.endpoints tbody tr>th{width:auto;font-weight:600}
.endpoints tbody tr>th,.endpoints td.state{grid-column:1/-1}
.endpoints td.n{display:flex;justify-content:space-between;gap:.6rem}
[data-label]::before{color:var(--quiet);font-size:.82rem;content:attr(data-label)}
.routes [data-label]::before{content:none}
}
@media(max-width:46rem){
.share svg{width:1.9rem}
.facts{grid-template-columns:repeat(2,1fr)}
header,main,footer{padding-left:.9rem;padding-right:.9rem}
header nav{margin-left:0}
.routes,.routes tbody,.routes tr,.routes th,.routes td{display:block}
.routes thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.routes tbody tr{padding:.6rem .9rem;border-top:1px solid var(--line)}
.routes tbody tr>*{border:0;padding:.08rem 0;width:auto}
.routes td.n{text-align:left}
.routes [data-label]::before{content:attr(data-label);margin-right:.5rem}
form{grid-template-columns:1fr}
.decisions div{grid-template-columns:1fr}.decisions dd{grid-column:1}.decisions dt{grid-row:auto}
.decisions .sub{padding-left:1rem}.decisions .sub dt{padding:0}
.card>.top,.body,.top+.body,.drawing,summary,.endpoints tbody tr{padding-left:.9rem;padding-right:.9rem}
.card>.top .word{margin-left:0}
}
@media(prefers-reduced-motion:no-preference){.fill{transition:width .4s}}
@media print{.filter,form,footer,nav{display:none}}
""" + "".join(f".c{number}{{color:var(--c{number})}}" for number in range(COLORS))

# Parts of the page are brought to the state of a new copy, node by node: so the focus, what is selected, where one has
# scrolled to, what is open and what was typed all stay as they are.
SCRIPT = """
'use strict';
const least = 5000, retry = 15000;
const pause = document.getElementById('pause'), note = document.getElementById('connection');
const form = document.getElementById('explain-form');
let paused = false, timer = 0, asking = null;

function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
  if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
  for (const {name} of [...old.attributes]) if (name !== 'open' && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const {name, value} of fresh.attributes) {
    if (name !== 'open' && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((node, at) => at < before.length ? morph(before[at], node) : old.append(node));
  before.slice(after.length).forEach((node) => node.remove());
}

function schedule(delay) {
  clearTimeout(timer);
  if (!paused) timer = setTimeout(update, delay);
}

async function update(focused) {
  clearTimeout(timer);
  if (document.hidden && !focused) { schedule(least); return; }
  if (asking) asking.abort();
  const mine = asking = new AbortController(), began = performance.now();
  try {
    const answer = await fetch(location.href, {headers: {accept: 'text/html'}, signal: mine.signal});
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-live]')) {
      const fresh = page.getElementById(part.id);
      if (fresh) morph(part, document.adoptNode(fresh));
    }
    document.title = page.title;
    note.hidden = true;
    if (focused) document.getElementById(focused).focus();
    schedule(Math.max(least, 20 * (performance.now() - began)));
  } catch (error) {
    if (mine.signal.aborted) return;
    note.hidden = false;
    schedule(retry);
  }
}

pause.hidden = false;
pause.addEventListener('click', () => {
  paused = !paused;
  pause.setAttribute('aria-pressed', String(paused));
  if (paused) clearTimeout(timer); else update();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden && !paused) update(); });
form.addEventListener('submit', (event) => {
  event.preventDefault();
  const asked = new URL(location.href);
  for (const [name, value] of new FormData(form)) {
    if (value) asked.searchParams.set(name, value); else asked.searchParams.delete(name);
  }
  asked.hash = '';
  history.replaceState(null, '', asked);
  update('explanation');
});
schedule(least);
"""


def _hashed(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hashed(STYLE)}; script-src {_hashed(SCRIPT)}; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page."""

__all__ = ["COLORS", "POLICY", "SCRIPT", "STYLE"]
