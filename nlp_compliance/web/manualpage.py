"""Template and stylesheet of `/docs`."""

from __future__ import annotations

STYLE = """\
:root { --ink: #1d2530; --soft: #566070; --line: #dfe4ea; --ground: #f4f6f8; --act: #1f5fbf; --focus: #f0a500; }
* { box-sizing: border-box; }
html { scroll-padding-top: 12px; }
body { margin: 0; color: var(--ink); background: var(--ground); font: 16px/1.65 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
a { color: var(--act); text-underline-offset: 3px; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 1px; }
.frame { display: grid; grid-template-columns: 270px minmax(0, 1fr); gap: 0 28px; max-width: 1240px; margin: 0 auto; padding: 20px; }
nav { position: sticky; top: 16px; align-self: start; max-height: calc(100vh - 32px); overflow: auto; font-size: 14.5px; }
nav p { margin: 14px 0 2px; font-weight: 600; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { overflow-wrap: anywhere; padding: 2px 0; }
nav a { text-decoration: none; }
h1 { font-size: 24px; line-height: 1.4; margin: 0 0 6px; }
h2 { font-size: 20px; margin: 30px 0 10px; text-transform: capitalize; }
h3 { font-size: 16px; margin: 0 0 4px; overflow-wrap: anywhere; }
h4 { font-size: 14px; margin: 16px 0 4px; color: var(--soft); }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px; margin: 0 0 14px; }
section p { margin: 4px 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
code, pre, .mono { font-family: ui-monospace, "Cascadia Mono", Consolas, "Noto Sans Mono CJK SC", monospace; font-size: 14px; }
pre { background: #1d2530; color: #f2f5f9; border-radius: 6px; padding: 10px 14px; margin: 6px 0 0; overflow-x: auto; }
.verb { display: inline-block; min-width: 52px; text-align: center; border-radius: 4px; padding: 0 8px; margin-right: 8px; font-size: 13px; line-height: 1.8; color: #fff; background: #1d5f35; }
.verb.post { background: var(--act); }
nav .verb { min-width: 42px; padding: 0 4px; margin-right: 5px; font-size: 11px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 15px; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); padding: 5px 10px 5px 0; }
th { color: var(--soft); font-weight: 600; font-size: 13.5px; }
tbody tr:last-child td { border-bottom: 0; }
td:first-child { white-space: nowrap; width: 1%; }
.need { color: #b3261e; font-size: 12.5px; margin-left: 4px; }
@media (max-width: 860px) {
  .frame { grid-template-columns: minmax(0, 1fr); padding: 12px 10px; }
  nav { position: static; max-height: none; border: 1px solid var(--line); border-radius: 10px; background: #fff; padding: 4px 14px 12px; margin-bottom: 16px; }
  td:first-child { width: auto; white-space: normal; overflow-wrap: anywhere; }
  section { padding: 12px; }
}
"""

PAGE = """\
{% macro kinds(all) %}{% for k in all %}{% if not loop.first %} or {% endif %}{% if k.link %}<a href="#schema-{{ k.link }}">{{ k.text }}</a>{% else %}{{ k.text }}{% endif %}{% endfor %}{% endmacro %}
{% macro table(fields) %}
<div class="wide" tabindex="0" role="group" aria-label="fields"><table><thead><tr><th>name</th><th>type</th><th>meaning</th></tr></thead><tbody>
{% for f in fields %}<tr><td><code>{{ f.name }}</code>{% if f.required %}<span class="need">required</span>{% endif %}</td><td>{{ kinds(f.kinds) }}</td><td>{{ f.about | coded }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% macro body(b) %}
<p><span class="mono">{{ b.media }}</span>{% if b.link %}: <a href="#schema-{{ b.link }}">{{ b.link }}</a>{% endif %}</p>
{% if b.fields %}{{ table(b.fields) }}{% endif %}
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }} {{ info.version }}: HTTP interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<div class="frame">
<nav aria-label="Contents">
<p><a href="#top">{{ info.title }} {{ info.version }}</a></p>
{% for tag, operations in groups.items() %}
<p>{{ tag }}</p>
<ul>{% for o in operations %}<li><a href="#{{ o.anchor }}"><span class="verb {{ o.method | lower }}">{{ o.method }}</span>{{ o.path }}</a></li>{% endfor %}</ul>
{% endfor %}
<p>more</p>
<ul><li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li><li><a href="/openapi.json">openapi.json</a></li></ul>
</nav>
<main id="top">
<h1>HTTP interface</h1>
<section>
<p>Callers send <code>Authorization: Bearer &lt;key&gt;</code>. Where the server has no key yet, calls from its own machine need none.</p>
<p>Offsets count Unicode code points of the text that was sent, end exclusive. Every answer carries <code>X-Request-Id</code>; send your own (1 to 64 letters, digits, <code>.</code>, <code>_</code>, <code>-</code>) and it is taken over.</p>
<p>For a console, import <a href="/openapi.json">openapi.json</a> into the tool of your choice. The commands below expect:</p>
<pre tabindex="0">SERVER=http://127.0.0.1:8000
KEY=nc_…</pre>
</section>
{% for tag, operations in groups.items() %}
<h2>{{ tag }}</h2>
{% for o in operations %}
<section id="{{ o.anchor }}">
<h3><span class="verb {{ o.method | lower }}">{{ o.method }}</span><code>{{ o.path }}</code></h3>
<p>{{ o.summary | coded }}</p>
{% if o.parameters %}<h4>Parameters</h4>{{ table(o.parameters) }}{% endif %}
{% if o.bodies %}<h4>Body{% if o.bodies | length > 1 %}, one of{% endif %}</h4>{% for b in o.bodies %}{{ body(b) }}{% endfor %}{% endif %}
<h4>Answers</h4>
<div class="wide" tabindex="0" role="group" aria-label="answers"><table><thead><tr><th>status</th><th>meaning</th></tr></thead><tbody>
{% for r in o.replies %}<tr><td><code>{{ r.status }}</code></td><td>{{ r.about | coded }}{% for b in r.bodies %}{{ body(b) }}{% endfor %}</td></tr>
{% endfor %}
</tbody></table></div>
<h4>Example</h4>
<pre tabindex="0">{{ o.example }}</pre>
</section>
{% endfor %}
{% endfor %}
<h2 id="errors">Errors</h2>
<section>
<p>One shape everywhere; a text of a batch that failed has the same under <code>error</code>:</p>
<pre tabindex="0">{"error": {"code": "text_empty", "message": "the text is empty; send …", "request_id": "…"}}</pre>
<div class="wide" tabindex="0" role="group" aria-label="errors"><table><thead><tr><th>status</th><th>code</th><th>when</th><th>what to do</th></tr></thead><tbody>
{% for k in kinds_of_error %}<tr><td><code>{{ k.status }}</code></td><td><code>{{ k.code }}</code></td><td>{{ k.when | coded }}</td><td>{{ k.todo | coded }}</td></tr>
{% endfor %}
</tbody></table></div>
<p>Beside a part of an upload that could not be read, with <code>name</code>, <code>code</code>, <code>message</code>:</p>
<div class="wide" tabindex="0" role="group" aria-label="codes of parts"><table><thead><tr><th>code</th><th>when</th></tr></thead><tbody>
{% for code, when in parts.items() %}<tr><td><code>{{ code }}</code></td><td>{{ when | coded }}</td></tr>
{% endfor %}
</tbody></table></div>
</section>
<h2 id="schemas">Schemas</h2>
{% for name, (about, fields, own) in schemas.items() %}
<section id="schema-{{ name }}">
<h3>{{ name }}</h3>
{% if about %}<p class="soft">{{ about | coded }}</p>{% endif %}
{% if fields %}{{ table(fields) }}{% else %}<p>{{ kinds(own) }}</p>{% endif %}
</section>
{% endfor %}
</main>
</div>
</body>
</html>
"""
