# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the status page looks: in the colours and forms of this collection's other pages, at any width."""

STYLE = """
:root { --page: #f6f7f9; --card: #fff; --text: #16202c; --soft: #576373; --rule: #dfe4ea; --ok: #157f4c;
  --ok-soft: #e9f6ef;
  --warning: #9a5400; --warning-soft: #fdf3e0; --critical: #c22b2b; --critical-soft: #fdecec; --quiet: #65717f;
  --quiet-soft: #f1f3f6;
  --sign: #fff; --code: #16202c12; --all: #8fa3bb; --half: #b9c6d5; --most: #3566a8 }
@media (prefers-color-scheme: dark) { :root { --page: #0f151c; --card: #18212b; --text: #e8edf3; --soft: #9aa7b6;
  --rule: #2b3744;
  --ok: #3fbf80; --ok-soft: #143226; --warning: #f0ad3f; --warning-soft: #382a10; --critical: #ff7b72;
  --critical-soft: #3d1d1f;
  --quiet: #8592a2; --quiet-soft: #1f2934; --sign: #0f151c; --code: #e8edf31c; --all: #51667e; --half: #3d4f63;
  --most: #7db0f2 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: anywhere; font-variant-numeric: tabular-nums }
main { max-width: 1080px; margin: 0 auto; padding: 28px 24px 56px }
header { display: flex; gap: 14px; align-items: center; padding-bottom: 18px } header > div { min-width: 0 }
h1 { font-size: 27px; line-height: 1.25; margin: 0; font-weight: 650; letter-spacing: -.01em }
h2 { font-size: 19px; line-height: 1.3; margin: 0; font-weight: 650 } h3 { font-size: 14px; margin: 18px 0 4px;
  font-weight: 650 }
p { margin: 0 } .soft, time { color: var(--soft) } time { white-space: nowrap } a { color: inherit }
.mark { width: 22px; height: 22px; flex: none } header .mark { width: 46px; height: 46px }
.mark circle { fill: var(--quiet) } .mark path { fill: none; stroke: var(--sign); stroke-width: 2.4;
  stroke-linecap: round; stroke-linejoin: round }
.ok .mark circle { fill: var(--ok) } .warning .mark circle { fill: var(--warning) }
.critical .mark circle { fill: var(--critical) }
.late { border: 2px solid var(--critical); background: var(--critical-soft); border-radius: 12px; font-weight: 600;
  display: grid; grid-template-rows: 0fr; visibility: hidden; border-width: 0;
  animation: late 1ms linear var(--wait) forwards }
.late p { overflow: hidden; padding: 0 16px }
@keyframes late { to { visibility: visible; grid-template-rows: 1fr; border-width: 2px; margin-bottom: 18px;
  padding: 10px 0 } }
main > header .mark, h1 { animation: former 1ms linear var(--wait) forwards }
@keyframes former { to { opacity: .45; text-decoration: line-through } }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 18px }
nav a { display: flex; gap: 7px; align-items: center; padding: 5px 13px 5px 7px; border-radius: 99px;
  background: var(--card);
  border: 1px solid var(--rule); text-decoration: none; font-size: 14px; font-weight: 600 }
nav a:hover, nav a:focus-visible { border-color: var(--soft) } nav .mark { width: 18px; height: 18px }
section { background: var(--card); border: 1px solid var(--rule); border-radius: 16px; padding: 20px 24px;
  margin-bottom: 18px }
section > header { padding: 0; gap: 10px; align-items: flex-start } section > header .mark { width: 22px;
  height: 22px; margin-top: 2px }
.condition { border-left: 4px solid; border-radius: 10px; padding: 12px 16px; margin-bottom: 12px; display: flex;
  gap: 12px }
.condition > div { min-width: 0; flex: 1 } .condition p + p, pre { margin: 7px 0 0 }
.condition.warning { border-color: var(--warning); background: var(--warning-soft) }
.condition.critical { border-color: var(--critical); background: var(--critical-soft) }
pre, code { font: 14px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap }
pre { background: var(--code); border-radius: 7px; padding: 6px 11px } pre.try { user-select: all }
pre.try::before { content: "# "; color: var(--soft) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 14px 26px;
  margin: 16px 0 4px }
figure { margin: 0; min-width: 0 } figcaption { font-size: 14px; color: var(--soft); display: flex;
  justify-content: space-between; align-items: baseline; gap: 8px }
figcaption b { font-size: 17px; font-weight: 650; color: var(--text) } figure svg { display: block; width: 100%;
  height: 44px; margin-top: 3px }
figure p { font-size: 13px; color: var(--soft); margin-top: 3px; line-height: 1.35 } figure.up svg { height: 44px }
svg .all { stroke: var(--all) } svg .bad { stroke: var(--critical) } svg .up { stroke: var(--ok); opacity: .55 }
svg .base { fill: none; stroke: var(--rule); stroke-width: 1; vector-effect: non-scaling-stroke }
svg .line { fill: none; stroke-width: 1.6; vector-effect: non-scaling-stroke; stroke-linejoin: round;
  stroke-linecap: round }
svg .bar { fill: none; stroke-width: 1.6 }
svg .half { stroke: var(--half) } svg .most { stroke: var(--most) }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 10px 26px; margin: 14px 0 0 }
dt { font-size: 13px; color: var(--soft) } dd { margin: 0; font-size: 15px } dd time { color: inherit }
dd.critical { color: var(--critical); font-weight: 600 } dd.warning { color: var(--warning); font-weight: 600 }
u { display: block; height: 6px; border-radius: 4px; background: var(--rule); margin: 5px 0 3px; overflow: hidden;
  text-decoration: none; max-width: 260px }
u i { display: block; height: 100%; background: var(--most) }
table { border-collapse: collapse; width: 100%; font-size: 14px } td { padding: 5px 14px 5px 0;
  border-top: 1px solid var(--rule); vertical-align: top }
td:first-child { font-weight: 600 } td.critical { color: var(--critical); font-weight: 600 }
summary { cursor: pointer; font-size: 14px; font-weight: 650; margin-top: 16px } details table { margin-top: 6px }
@media (max-width: 640px) { main { padding: 18px 12px 40px } section { padding: 16px 14px; border-radius: 14px }
h1 { font-size: 22px }
  dl { grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)); gap: 10px 16px } }
@media print { body { background: #fff } section { break-inside: avoid } .late { display: none } }
"""
