"""The look of report.html: one column on a phone, light or dark as the reader's device asks, no script."""

# Series colours are Okabe and Ito's, told apart by colour-blind readers; lines also differ in their dashes.
CSS = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1b1f24; --soft: #57606a; --grid: #d8dee4; --card: #f6f8fa;
  --s1: #0072b2; --s2: #b84900; --s3: #007f5c; --s4: #a3487d; --heat: #0072b2;
  --on: #fff; --mid: #000; --off: #000; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --ink: #e6edf3; --soft: #9aa7b4; --grid: #333c46;
  --card: #1d232a; --s1: #56b4e9; --s2: #f0a13a; --s3: #35c79a; --s4: #e08cba; --heat: #56b4e9;
  --on: #000; --mid: #000; --off: #fff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 1180px; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; border-bottom: 1px solid var(--grid); padding-bottom: .2rem; }
p { margin: .3rem 0 .8rem; } .note, figcaption small { color: var(--soft); font-size: .9rem; }
dl.facts { display: grid; grid-template-columns: repeat(2, 1fr); gap: .6rem; margin: 0; }
dl.facts div { background: var(--card); border-radius: 8px; padding: .5rem .7rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.1rem; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem 1.4rem; }
summary { cursor: pointer; } a { color: var(--s1); } footer { margin-top: 2.2rem; }
.legend, dd, .note { overflow-wrap: anywhere; } .legend bdi { min-width: 0; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; font-size: .95rem; }
svg { display: block; width: 100%; height: auto; max-width: 560px; } svg text { fill: currentColor; font-size: 11px; }
svg text.in { text-anchor: middle; font-size: 10px; } svg text.on { fill: var(--on); }
svg text.mid { fill: var(--mid); } svg text.off { fill: var(--off); }
.grid { stroke: var(--grid); fill: none; } .line { fill: none; stroke-width: 2; }
.line.s1 { stroke: var(--s1); } .line.s2 { stroke: var(--s2); stroke-dasharray: 7 3; }
.line.s3 { stroke: var(--s3); stroke-dasharray: 2 3; } .line.s4 { stroke: var(--s4); stroke-dasharray: 9 3 2 3; }
.line.faint { stroke: var(--soft); stroke-width: 1; opacity: .55; } .line.faint:hover { stroke-width: 3; opacity: 1; }
circle.s1 { fill: var(--s1); } circle.s2 { fill: var(--s2); } circle.s3 { fill: var(--s3); }
circle.s4 { fill: var(--s4); }
circle.faint { fill: none; } rect.heat { fill: var(--heat); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; margin: 0 0 .4rem; }
.legend span { display: inline-flex; align-items: center; gap: .35rem; } svg.key { width: 24px; flex: none; }
.wide { overflow-x: auto; } .long { max-height: 36rem; overflow: auto; }
.long thead th { position: sticky; top: 0; background: var(--page); }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: right; padding: .22rem .5rem; border-bottom: 1px solid var(--grid);
  font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); } tbody th { font-weight: 400; color: var(--ink); }
th:first-child, td:first-child { text-align: left; min-width: 5.5rem; overflow-wrap: anywhere; }
td.bar { width: 45%; min-width: 90px; }
td.bar i { display: block; height: .8rem; background: var(--s1); border-radius: 2px; }
.scale { display: flex; align-items: center; gap: .5rem; font-size: .85rem; max-width: 320px; }
.scale i { flex: 1; height: .7rem; border: 1px solid var(--grid); }
.scale i.heat { background: linear-gradient(90deg, transparent, var(--heat)); }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: .9rem; }
.images figure { background: var(--card); border-radius: 8px; padding: .5rem; font-size: .85rem;
  overflow-wrap: anywhere; }
.images img, .maps img { width: 100%; max-height: 260px; object-fit: contain; display: block; border-radius: 4px; }
.images ul { list-style: none; margin: .3rem 0 0; padding: 0; }
.found { color: var(--s3); } .missed { color: var(--s1); } .added, .warned { color: var(--s2); }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: .6rem; margin-bottom: 1rem; }
.maps figcaption { font-weight: 400; font-size: .85rem; overflow-wrap: anywhere; }
pre { background: var(--card); padding: .7rem; border-radius: 8px; overflow-x: auto; font-size: .85rem; }
@media print { :root { color-scheme: light; --page: #ffffff; --ink: #000000; --soft: #444c56; --grid: #c4ccd4;
  --card: #ffffff; --s1: #0072b2; --s2: #b84900; --s3: #007f5c; --s4: #a3487d; --heat: #0072b2;
  --on: #fff; --mid: #000; --off: #000; }
  body { max-width: none; padding: 0; } .long, .wide, pre { max-height: none; overflow: visible; }
  .long thead th { position: static; } thead { display: table-header-group; } pre { white-space: pre-wrap;
  overflow-wrap: anywhere; } tr, figure, dl.facts div { break-inside: avoid; } h2 { break-after: avoid; }
  td.bar i, .scale i, rect.heat { print-color-adjust: exact; } .two { display: block; }
  details::details-content { content-visibility: visible; block-size: auto; } }
@media (max-width: 500px) { table { font-size: .82rem; } th, td { padding: .2rem .25rem; }
  th:first-child, td:first-child { min-width: 4.6rem; } }
@media screen and (min-width: 760px) { dl.facts { grid-template-columns: repeat(4, 1fr); }
  .two { display: grid; grid-template-columns: 2fr 3fr; gap: 2rem; } .two > * { min-width: 0; }
  th:first-child, td:first-child { min-width: 12rem; } }
"""
