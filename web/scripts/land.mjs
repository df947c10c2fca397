// Makes src/map/land.ts: the coasts of Natural Earth's 1:110m land, thinned to half a degree, for a map that shows where on earth points are.
// Natural Earth is in the public domain; it comes by the package world-atlas, as TopoJSON: arcs of quantised steps.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** How far a point may lie beside the line that is drawn without it, in degrees. */
const TOLERANCE = 0.45;
/** Islands that would be no more than a dot. */
const AREA_MIN = 4;
/** Places are counted in half degrees. */
const STEPS = 2;

const atlas = JSON.parse(readFileSync(new URL('../node_modules/world-atlas/land-110m.json', import.meta.url), 'utf8'));

function arc([...steps]) {
  const { scale, translate } = atlas.transform;
  let [x, y] = [0, 0];
  return steps.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
}

const arcs = atlas.arcs.map(arc);
const ringOf = (numbers) => numbers.flatMap((number) => (number < 0 ? [...arcs[~number]].reverse() : arcs[number]));
const rings = atlas.objects.land.geometries.flatMap((land) => (land.type === 'Polygon' ? [land.arcs] : land.arcs)).flatMap((polygon) => polygon.map(ringOf));

function area(ring) {
  return Math.abs(ring.reduce((sum, [x, y], at) => sum + x * ring[(at + 1) % ring.length][1] - ring[(at + 1) % ring.length][0] * y, 0)) / 2;
}

/** Douglas and Peucker: the points that a line cannot do without. */
function thinned(line) {
  if (line.length < 3) return line;
  const [first, last] = [line[0], line.at(-1)];
  const length = Math.hypot(last[0] - first[0], last[1] - first[1]);
  let [far, place] = [0, 0];
  for (let at = 1; at < line.length - 1; at += 1) {
    const [x, y] = line[at];
    const beside = length === 0
      ? Math.hypot(x - first[0], y - first[1])
      : Math.abs((last[0] - first[0]) * (first[1] - y) - (first[0] - x) * (last[1] - first[1])) / length;
    if (beside > far) [far, place] = [beside, at];
  }
  if (far <= TOLERANCE) return [first, last];
  return [...thinned(line.slice(0, place + 1)).slice(0, -1), ...thinned(line.slice(place))];
}

/** Islands on both sides of the date line would be drawn across the whole map. */
function isAcross(ring) {
  return ring.some(([x], at) => at > 0 && Math.abs(x - ring[at - 1][0]) > 180) && ring.every(([, y]) => y > -60);
}

const drawn = rings
  .filter((ring) => area(ring) >= AREA_MIN && !isAcross(ring))
  .map((ring) => thinned(ring).map(([x, y]) => [Math.round(x * STEPS), Math.round(y * STEPS)]))
  .filter((ring) => ring.length > 3);
/** A ring as text: its first place, then steps. */
const text = drawn.map((ring) => ring.map(([x, y], at) => (at === 0 ? [x, y] : [x - ring[at - 1][0], y - ring[at - 1][1]]).join(' ')).join(' ')).join(',');
const made = `// Made by scripts/land.mjs of Natural Earth's 1:110m land, which is in the public domain.

/** Coasts: rings of longitude and latitude in half degrees, the first place of each and then steps from place to place. */
export const LAND = '${text}';
`;
const file = process.argv[2] ?? fileURLToPath(new URL('../src/map/land.ts', import.meta.url));
writeFileSync(file, made);
