// A graph of boxes, laid out by dagre and drawn as SVG.

import { graphlib, layout } from '@dagrejs/dagre';
import type { ComponentChildren } from 'preact';

export interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  readonly content: ComponentChildren;
}

export interface Arrow {
  readonly from: string;
  readonly to: string;
  /** How wide it is drawn, from 0 to 1. */
  readonly weight?: number;
  readonly label?: string;
}

export interface GraphProps {
  boxes: readonly Box[];
  arrows: readonly Arrow[];
  direction: 'LR' | 'BT' | 'TB';
  label: string;
}

/** The graph, as large as it is; what is around it scrolls. */
export default function Graph({ boxes, arrows, direction, label }: GraphProps) {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: direction, nodesep: 18, ranksep: 44, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const box of boxes) graph.setNode(box.id, { width: box.width, height: box.height });
  for (const arrow of arrows) if (graph.hasNode(arrow.from) && graph.hasNode(arrow.to)) graph.setEdge(arrow.from, arrow.to);
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  return (
    <div class="graph" tabIndex={0} role="region" aria-label={label}>
      <div class="graph-space" style={{ width: `${width}px`, height: `${height}px` }}>
        <svg width={width} height={height} aria-hidden="true">
          <defs>
            <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
              <path d="M0 0 8 4 0 8z" class="tip" />
            </marker>
          </defs>
          {arrows.map((arrow) => {
            if (!graph.hasEdge(arrow.from, arrow.to)) return null;
            const points = (graph.edge(arrow.from, arrow.to) as { points: Point[] }).points;
            const middle = points[Math.floor(points.length / 2)];
            // Ends, and the middle of a way of one rank, follow from the boxes.
            const between = points.length > 3 ? points.slice(2, -2) : [];
            const d = curve(graph.node(arrow.from) as Placed, graph.node(arrow.to) as Placed, between, direction);
            return (
              <g key={`${arrow.from} ${arrow.to}`}>
                <path class="arrow" d={d} style={{ strokeWidth: `${1 + 5 * (arrow.weight ?? 0)}px` }} marker-end={(arrow.weight ?? 0) > 0.2 ? undefined : 'url(#tip)'} />
                {arrow.label && middle && <text class="arrow-label" x={middle.x + 6} y={middle.y + 3}>{arrow.label}</text>}
              </g>
            );
          })}
        </svg>
        <ul>
          {boxes.map((box) => {
            const at = graph.node(box.id) as Placed;
            return (
              <li key={box.id} style={{ left: `${at.x - box.width / 2}px`, top: `${at.y - box.height / 2}px`, width: `${box.width}px`, height: `${box.height}px` }}>
                {box.content}
              </li>
            );
          })}
        </ul>
      </div>
    </div>
  );
}

/** From the middle of one side to the middle of the opposite one; through what dagre left free between far ranks. */
function curve(from: Placed, to: Placed, between: readonly Point[], direction: GraphProps['direction']): string {
  const isAcross = direction === 'LR';
  const sign = direction === 'BT' ? -1 : 1;
  const start = isAcross ? { x: from.x + from.width / 2, y: from.y } : { x: from.x, y: from.y + (sign * from.height) / 2 };
  const end = isAcross ? { x: to.x - to.width / 2, y: to.y } : { x: to.x, y: to.y - (sign * to.height) / 2 };
  let path = `M${start.x} ${start.y}`;
  let last = start;
  for (const point of [...between, end]) {
    const middle = isAcross ? (last.x + point.x) / 2 : (last.y + point.y) / 2;
    path += isAcross ? `C${middle} ${last.y} ${middle} ${point.y} ${point.x} ${point.y}` : `C${last.x} ${middle} ${point.x} ${middle} ${point.x} ${point.y}`;
    last = point;
  }
  return path;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Placed extends Point {
  readonly width: number;
  readonly height: number;
}
