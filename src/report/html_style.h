#pragma once

namespace lowkey {

/// Style of the page around the charts, on the variables of svg::style().
inline constexpr char kReportStyle[] = R"(
:root { color-scheme: light dark; --page: #f5f6f8; --good: #0a7d53; --fair: #8a6100; --bad: #c0271a;
  --line: #dde1e6; --mark: #fde8c8; --bar: #c9d6e6; --shade: #0004; }
@media (prefers-color-scheme: dark) {
:root { --page: #0d1014; --good: #3fcf95; --fair: #e0b24a; --bad: #ff7a66; --line: #2a3038;
  --mark: #4a3a17; --bar: #33475e; --shade: #000c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 4px; letter-spacing: -0.005em; }
h3 { font-size: 15px; margin: 20px 0 8px; }
p { margin: 0 0 10px; } p.note, p.facts { color: var(--muted); font-size: 13.5px; max-width: 80ch; }
section { background: var(--ground); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 22px; margin-top: 18px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr));
  gap: 14px 22px; margin-top: 12px; }
.grids { display: flex; flex-wrap: wrap; gap: 10px 22px; margin-top: 12px; }
svg.chart { font-family: inherit; font-size: 12px; max-width: 100%; height: auto; display: block; }
.scroll, .wide { overflow-x: auto; background:
  linear-gradient(90deg, var(--ground) 30%, transparent) 0 0 / 40px 100% no-repeat local,
  linear-gradient(270deg, var(--ground) 30%, transparent) 100% 0 / 40px 100% no-repeat local,
  radial-gradient(farthest-side at 0 50%, var(--shade), transparent) 0 0 / 14px 100% no-repeat scroll,
  radial-gradient(farthest-side at 100% 50%, var(--shade), transparent) 100% 0 / 14px 100% no-repeat scroll; }
.charts svg.chart { width: 100%; max-width: 520px; min-width: 320px; margin: 0 auto; }
svg.dot { display: inline-block; vertical-align: -2px; margin-right: 7px; }
.wide { margin-top: 12px; }
.hint { display: none; color: var(--muted); font-size: 12.5px; margin: 8px 0 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { font-weight: 500; font-size: 12.5px; line-height: 1.35; color: var(--muted); text-align: right;
  vertical-align: bottom; padding: 4px 0 8px 13px; border-bottom: 1px solid var(--line); }
td { text-align: right; padding: 7px 0 7px 13px; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
table.facts th { width: 1%; font-weight: 500; font-size: 13.5px; }
tbody th { color: var(--ink); font-size: 15px; font-weight: 600; text-align: left;
  vertical-align: baseline; padding: 7px 8px 7px 0; white-space: nowrap; }
small { color: var(--muted); font-size: 12px; margin-left: 5px; }
table.rows td small { display: block; margin-left: 0; line-height: 1.2; }
.share { display: inline-block; width: 64px; height: 7px; border-radius: 4px; margin-right: 8px;
  background: linear-gradient(var(--bar) 0 0) no-repeat var(--grid); vertical-align: 1px; }
.worse { color: var(--bad); } .worse::before { content: "▼ "; font-size: 10px; }
.severe { font-weight: 650; }
.chip { display: inline-block; border: 1px solid; border-radius: 99px; padding: 0 9px;
  font-size: 12.5px; line-height: 20px; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
ul.findings { margin: 10px 0 0; padding: 0; list-style: none; }
ul.findings li { padding: 7px 0; border-top: 1px solid var(--line); }
ul.findings li:first-child { border-top: 0; font-size: 17px; font-weight: 600; padding-top: 2px; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr));
  gap: 12px; margin-top: 10px; }
.sample { border: 1px solid var(--line); border-radius: 9px; padding: 10px 12px; }
.sample b { display: block; margin-bottom: 4px; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13.5px; line-height: 1.5; }
.prompt { color: var(--muted); border-left: 3px solid var(--line); padding-left: 12px; }
mark { background: var(--mark); color: inherit; border-radius: 3px; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 9px; overflow-x: auto;
  padding: 12px 14px; margin: 8px 0 0; font: 12.5px/1.6 ui-monospace, "Cascadia Mono", Menlo,
  Consolas, "DejaVu Sans Mono", monospace; }
code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
td.left, th.left { text-align: left; white-space: normal; }
footer { color: var(--muted); font-size: 13px; margin-top: 22px; }
@media (max-width: 820px) { .hint { display: block; }
.wide table.rows tbody th, .wide table.rows thead th:first-child { position: sticky; left: 0;
  background: var(--ground); box-shadow: 1px 0 var(--line); } }
@media (max-width: 600px) { main { padding: 18px 8px 40px; } section { padding: 14px 12px; }
h1 { font-size: 23px; } .charts svg.chart { font-size: 13px; } }
@media print { body { background: none; } section { break-inside: avoid; } }
)";

}  // namespace lowkey
