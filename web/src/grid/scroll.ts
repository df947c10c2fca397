// Where rows are on the screen. A browser cannot make an element of more than some 33 million pixels, and a grid of
// millions of rows is higher: then the scroll bar stands for a share of the rows, and the rows' own place is kept here.

/** What a browser surely makes. */
export const HEIGHT_MAX = 8_000_000;

/** The heights of a grid. */
export interface Extent {
  readonly rows: number;
  readonly rowHeight: number;
  /** What is seen of the rows at a time. */
  readonly viewport: number;
}

/** All rows' height. */
export function wholeHeight({ rows, rowHeight }: Extent): number {
  return rows * rowHeight;
}

/** The height that the element is made. */
export function elementHeight(extent: Extent): number {
  return Math.min(wholeHeight(extent), HEIGHT_MAX);
}

/** Whether the scroll bar stands for more than its own pixels. */
export function isScaled(extent: Extent): boolean {
  return wholeHeight(extent) > HEIGHT_MAX;
}

/** The largest place that rows can be scrolled to. */
export function topMax(extent: Extent): number {
  return Math.max(0, wholeHeight(extent) - extent.viewport);
}

/** The rows' place for the element's `scrollTop`. */
export function topOf(extent: Extent, scrollTop: number): number {
  if (!isScaled(extent)) return scrollTop;
  const range = elementHeight(extent) - extent.viewport;
  return range <= 0 ? 0 : Math.min(1, scrollTop / range) * topMax(extent);
}

/** The element's `scrollTop` for the rows' place. */
export function scrollTopOf(extent: Extent, top: number): number {
  if (!isScaled(extent)) return top;
  const range = elementHeight(extent) - extent.viewport;
  return topMax(extent) === 0 ? 0 : (top / topMax(extent)) * range;
}

/** The first row that is seen, and the one after the last. */
export function seen(extent: Extent, top: number): [number, number] {
  const first = Math.max(0, Math.floor(top / extent.rowHeight));
  return [first, Math.min(extent.rows, Math.ceil((top + extent.viewport) / extent.rowHeight))];
}
