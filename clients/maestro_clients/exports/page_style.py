"""Page style: the style of an exported page, with the colours of the gateway's own page."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--sunk:#f2f4f4;--line:#e2e5e6;--ink:#15191b;--ink2:#465056;--ink3:#5f6a70;
--accent:#0b6580;--mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media(prefers-color-scheme:dark){:root{--bg:#141718;--sunk:#1c2022;--line:#262b2e;--ink:#e6e9ea;--ink2:#b0b8bc;
--ink3:#8f999e;--accent:#5cbfd8}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:.875rem/1.375rem system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:46rem;margin:0 auto;padding:24px}
h1{font-size:1.25rem;line-height:1.75rem;font-weight:600;margin:0 0 8px;overflow-wrap:anywhere}
h1~p{color:var(--ink2);margin:0}
h2{font-size:.875rem;font-weight:600;margin:32px 0 8px;padding-top:16px;border-top:1px solid var(--line)}
article{margin:0 0 24px}
h3{font-size:.875rem;font-weight:600;margin:0;overflow-wrap:anywhere}
h3 span,h3 time{font-weight:400;color:var(--ink3)}
h3 time::before,h3 time+span::before{content:"· "}
.facts{margin:0;font-size:.75rem;color:var(--ink3);overflow-wrap:anywhere}
.text{overflow-wrap:anywhere}
.text>*{margin:8px 0}
h4,h5,h6{font-size:.875rem;font-weight:600;margin:12px 0 4px}
code,pre{font-family:var(--mono);font-size:.75rem;line-height:1.25rem}
code{background:var(--sunk);border-radius:3px;padding:1px 3px}
pre{background:var(--sunk);border-radius:3px;padding:8px 12px;overflow-x:auto;overflow-wrap:normal}
pre code{padding:0}
.facts code{background:none;padding:0}
blockquote{margin:8px 0;padding-left:12px;border-left:2px solid var(--line);color:var(--ink2)}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{border:1px solid var(--line);padding:2px 8px;text-align:left;vertical-align:top}
a{color:var(--accent)}
.host{color:var(--ink3)}
@media print{main{max-width:none}article{break-inside:avoid}}
""".strip()
