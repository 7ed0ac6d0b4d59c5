/// How a page looks: light and dark as the reader's system is, one column on a phone, black on white on paper.
let styleSheet: StaticString = """
  :root{color-scheme:light dark;--paper:#fff;--card:#fff;--ink:#1c1e21;--soft:#5c6370;--rule:#d8dbe0;--band:#f4f5f7;--bad:#b3261e;--good:#1b7a3d;
  --heat:#1f5fae;--on:#fff;--c0:#1f5fae;--c1:#c9510c;--c2:#1b7a3d;--c3:#a3279b;--c4:#8a6d00;--c5:#0b7f8a;--c6:#b3261e;--c7:#5b4bc4}
  @media screen and (prefers-color-scheme:dark){:root{--paper:#14161a;--card:#1b1e23;--ink:#e6e8eb;--soft:#a0a7b3;--rule:#383d46;--band:#22262c;
  --bad:#ff8a80;--good:#6fd08c;--heat:#7fb2f0;--on:#10141a;--c0:#7fb2f0;--c1:#ff9d5c;--c2:#6fd08c;--c3:#e58fe0;--c4:#e0c04a;--c5:#5fd0da;
  --c6:#ff8a80;--c7:#b0a6ff}}
  *{box-sizing:border-box}
  body{margin:0 auto;max-width:1200px;padding:16px;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
  h1{font-size:24px;margin:4px 0;overflow-wrap:anywhere}
  h2{font-size:19px;margin:32px 0 8px;overflow-wrap:anywhere;border-bottom:1px solid var(--rule);padding-bottom:4px}
  h3{font-size:15px;margin:18px 0 6px;overflow-wrap:anywhere}
  p{margin:6px 0;overflow-wrap:anywhere}
  .soft,figcaption,footer,.title{color:var(--soft)}.title{font-size:13px;margin:14px 0 2px;break-after:avoid}
  .bad{color:var(--bad)}.good{color:var(--good)}
  .badge{display:inline-block;border:1px solid currentColor;border-radius:10px;padding:0 8px;font-size:13px}
  .scroll{overflow-x:auto;max-width:100%}.scroll+.scroll{margin-top:12px}
  ul{margin:6px 0;padding-left:20px;font-size:13px}
  .charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));gap:16px;margin:12px 0}
  .charts>.wide{grid-column:1/-1}
  figure{margin:0;min-width:0;border:1px solid var(--rule);border-radius:8px;padding:10px;background:var(--card);break-inside:avoid}
  figure.alone{margin:12px 0;width:fit-content;max-width:100%}
  figcaption{font-size:13px;margin-bottom:4px;overflow-wrap:anywhere}
  .plain svg{width:100%;height:auto;max-width:560px;display:block}
  .wide svg{display:block}
  svg text{font:11px system-ui,sans-serif;fill:var(--ink);unicode-bidi:isolate}
  svg .name,svg .small{fill:var(--soft)}
  .grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
  .s0{--s:var(--c0)}.s1{--s:var(--c1)}.s2{--s:var(--c2)}.s3{--s:var(--c3)}.s4{--s:var(--c4)}.s5{--s:var(--c5)}.s6{--s:var(--c6)}.s7{--s:var(--c7)}
  .rest{--s:var(--soft)}
  .line{fill:none;stroke:var(--s);stroke-width:1.7;stroke-linejoin:round}.thin{stroke-width:1;stroke-opacity:.75}
  .d1 .line{stroke-dasharray:6 3}.d2 .line{stroke-dasharray:2 3}
  .spread{fill:none;stroke:var(--s);stroke-width:1.2}.over{stroke:var(--ink)}
  circle,.bar{fill:var(--s)}.points{fill:none;stroke:var(--s);stroke-width:4;stroke-linecap:round}
  .d1 .bar{fill-opacity:.65}.d2 .bar{fill-opacity:.4}
  .heat{fill:var(--heat)}.none{fill:var(--band)}svg .on{fill:var(--on)}
  .box{fill:var(--band);stroke:var(--soft)}.open .box{stroke-dasharray:5 4;stroke:var(--bad)}.edge{fill:none;stroke:var(--soft);stroke-width:1.4}
  svg .strong{font-weight:600;font-size:12px}
  .legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:6px 0 0;padding:0;font-size:12px}
  .legend li{max-width:100%;overflow-wrap:anywhere}
  .legend li::before{content:"";display:inline-block;width:18px;margin-right:5px;vertical-align:middle;border-top:3px solid var(--s)}
  .legend .d1::before{border-top-style:dashed}.legend .d2::before{border-top-style:dotted}
  .ramp{display:flex;align-items:center;gap:8px;font-size:12px;color:var(--soft);flex-wrap:wrap}
  .shades{flex:0 0 90px;height:10px;border:1px solid var(--rule);background:linear-gradient(90deg,transparent,var(--heat))}
  table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
  th,td{padding:3px 10px;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top;unicode-bidi:isolate}
  th{font-weight:600;background:var(--band)}
  td{white-space:nowrap}.long{white-space:normal;min-width:220px;max-width:520px;overflow-wrap:anywhere}
  .number{text-align:right;white-space:nowrap}
  dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr));gap:0 24px;margin:6px 0;font-size:13px}
  dl div{display:flex;gap:10px;justify-content:space-between;border-bottom:1px solid var(--rule);padding:3px 0}
  dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;unicode-bidi:isolate}
  details{margin:14px 0}summary{cursor:pointer;font-weight:600}
  code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}
  nav a{margin-right:14px;color:var(--c0)}
  footer{margin-top:32px;border-top:1px solid var(--rule);padding-top:8px;font-size:13px}
  @media (max-width:600px){body{padding:12px}h2{margin-top:26px}}
  @page{margin:14mm}
  @media print{body{max-width:none;padding:0;font-size:11pt}nav{display:none}.charts{grid-template-columns:1fr 1fr}.scroll{overflow:visible}
  table{font-size:9pt}.long{max-width:none}tr{break-inside:avoid}h2,h3{break-after:avoid}
  .heat,.bar,.box,.legend li::before,.shades{print-color-adjust:exact;-webkit-print-color-adjust:exact}.wide svg{max-width:100%;height:auto}}
  """
