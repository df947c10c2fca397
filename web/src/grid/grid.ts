// A grid of any number of rows. It makes elements for what is seen and uses them again; a cell's text is made when it is seen.
// Rows are all of one height, so that their places are computed; columns are not, and TanStack's virtualizer knows theirs.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core';

import type { Rows } from '../rows/column';
import { tabbed } from '../rows/export';
import { countText } from '../rows/numbers';
import type { Sort } from '../rows/order';
import { elementHeight, isScaled, scrollTopOf, seen, topMax, topOf, type Extent } from './scroll';

export const ROW_HEIGHT = 24;
const HEAD_HEIGHT = 28;
const CELL_CHARS_MAX = 300;
/** Cells that are copied at a time. */
const COPIED_MAX = 500_000;
const LIT_MS = 1500;

/** What a grid tells who shows it. */
export interface GridEvents {
  sort(column: number): void;
  /** The value of a cell is to be shown whole. */
  open(row: number, column: number): void;
  /** What a column is like is asked for. */
  stats(column: number, anchor: HTMLElement): void;
  copied(text: string): void;
}

/** Rows that know when their cells last changed. */
interface Moving extends Rows {
  changedAt(row: number, column: number): number;
}

interface Line {
  readonly element: HTMLElement;
  readonly gutter: HTMLElement;
  readonly cells: HTMLElement[];
  row: number;
  drawn: string;
}

let grids = 0;

export class Grid {
  private readonly id = `grid${(grids += 1)}`;
  private readonly scroller = element('div', 'grid-scroll');
  private readonly space = element('div', 'grid-space');
  private readonly head = element('div', 'grid-head');
  private readonly layer = element('div', 'grid-layer');
  private readonly lines: Line[] = [];
  private readonly observer: ResizeObserver;
  private readonly virtualizer: Virtualizer<HTMLElement, Element>;
  private readonly unmount: () => void;
  private rows: Rows | null = null;
  private order: Uint32Array | null = null;
  private sort: Sort | null = null;
  private widths: number[] = [];
  private gutterWidth = 48;
  private viewport = 0;
  private top = 0;
  /** The `scrollTop` that was set here: its event is no wish of the reader. */
  private ownScrollTop = -1;
  private focus: [number, number] = [0, 0];
  private anchor: [number, number] = [0, 0];
  private version = 0;
  private frame = 0;
  private headDrawn = '';
  private following = false;
  /** Whether the reader was ever here: before, no cell is picked. */
  private visited = false;
  private readonly still = matchMedia('(prefers-reduced-motion: reduce)').matches;

  constructor(
    private readonly host: HTMLElement,
    private readonly events: GridEvents,
    label: string,
  ) {
    const { scroller } = this;
    scroller.tabIndex = 0;
    scroller.setAttribute('role', 'grid');
    scroller.setAttribute('aria-label', label);
    scroller.setAttribute('aria-multiselectable', 'true');
    scroller.setAttribute('aria-readonly', 'true');
    this.head.setAttribute('role', 'row');
    this.head.setAttribute('aria-rowindex', '1');
    // What lies between the grid and its rows is none of its structure.
    this.space.setAttribute('role', 'presentation');
    this.layer.setAttribute('role', 'rowgroup');
    this.space.append(this.head, this.layer);
    scroller.append(this.space);
    host.append(scroller);
    this.virtualizer = new Virtualizer<HTMLElement, Element>({
      horizontal: true,
      count: 0,
      getScrollElement: () => scroller,
      estimateSize: (column) => this.widths[column] ?? 100,
      overscan: 2,
      observeElementRect,
      observeElementOffset,
      scrollToFn: elementScroll,
      onChange: () => {
        this.draw();
      },
    });
    this.unmount = this.virtualizer._didMount();
    this.virtualizer._willUpdate();
    this.observer = new ResizeObserver(() => {
      this.viewport = Math.max(0, scroller.clientHeight - HEAD_HEIGHT);
      if (this.following) this.toEnd();
      this.draw();
    });
    this.observer.observe(scroller);
    scroller.addEventListener('scroll', () => {
      this.scrolled();
    });
    scroller.addEventListener('wheel', (event) => {
      this.wheeled(event);
    }, { passive: false });
    scroller.addEventListener('keydown', (event) => {
      this.pressed(event);
    });
    scroller.addEventListener('focus', () => {
      if (this.visited) return;
      this.visited = true;
      this.version += 1;
      this.draw();
    });
    scroller.addEventListener('copy', (event) => {
      event.preventDefault();
      this.copy(event);
    });
    this.layer.addEventListener('pointerdown', (event) => {
      this.pointed(event);
    });
    this.layer.addEventListener('dblclick', () => {
      this.open();
    });
  }

  /** Ends it and takes its elements away. */
  destroy(): void {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.unmount();
    this.scroller.remove();
  }

  /** Shows these rows, in this order. Other rows than before are shown from their start. */
  show(rows: Rows, order: Uint32Array | null, sort: Sort | null): void {
    const other = rows !== this.rows;
    this.rows = rows;
    this.order = order;
    this.sort = sort;
    if (other) {
      this.focus = this.anchor = [0, 0];
      this.top = 0;
      this.scroller.scrollTop = this.scroller.scrollLeft = 0;
      this.headDrawn = '';
      this.isFitted = false;
      this.measure();
    }
    this.changed();
  }

  /** The rows have changed, or there are more. */
  changed(): void {
    this.version += 1;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.rows && this.rows.count > 0 && (this.widthsOf !== this.rows || this.hasOutgrown())) this.measure();
      if (this.following) this.toEnd();
      this.draw();
    });
  }

  /** Stays at the last row as rows come, until the reader scrolls up. */
  follow(following: boolean): void {
    this.following = following;
  }

  /** Puts the reader's keys here. */
  focusGrid(): void {
    this.scroller.focus();
  }

  /** The rows that widths were last taken from. */
  private widthsOf: Rows | null = null;

  /** How many there were then. */
  private measuredCount = 0;
  /** Whether the reader has made a column as wide as it is. */
  private isFitted = false;

  /** Whether there are so many more rows now that columns should be measured again. */
  private hasOutgrown(): boolean {
    return !this.isFitted && (this.rows?.count ?? 0) > 8 * this.measuredCount;
  }

  private measure(): void {
    const rows = this.rows;
    if (!rows) return;
    if (rows.count > 0) this.widthsOf = rows;
    this.measuredCount = rows.count;
    const looked = Math.min(rows.count, 80);
    // Later rows may be longer: some of all are looked at, not the first ones.
    const step = (rows.count - 1) / Math.max(1, looked - 1);
    this.widths = rows.columns.map((column, at) => {
      let chars = column.name.length + 3;
      for (let number = 0; number < looked; number += 1) {
        chars = Math.max(chars, (rows.text(Math.round(number * step), at) ?? 'null').length);
      }
      const width = column.kind === 'number' || column.kind === 'time' ? 8.2 : 7.3;
      return Math.min(420, Math.max(64, Math.ceil(chars * width) + 24));
    });
    this.headDrawn = '';
    this.virtualizer.setOptions({ ...this.virtualizer.options, count: rows.columns.length });
    this.virtualizer.measure();
    this.virtualizer._willUpdate();
  }

  private get extent(): Extent {
    return { rows: this.rows?.count ?? 0, rowHeight: ROW_HEIGHT, viewport: this.viewport };
  }

  private scrolled(): void {
    const { scrollTop } = this.scroller;
    if (Math.abs(scrollTop - this.ownScrollTop) > 1) {
      const before = this.top;
      this.top = topOf(this.extent, scrollTop);
      if (this.top < before) this.following = false;
      else if (this.isMoving() && this.top >= topMax(this.extent) - ROW_HEIGHT) this.following = true;
    }
    this.ownScrollTop = -1;
    this.draw();
  }

  private isMoving(): boolean {
    return this.rows !== null && 'changedAt' in this.rows;
  }

  /** A turn of the wheel moves rows, not shares of the scroll bar. */
  private wheeled(event: WheelEvent): void {
    if (!isScaled(this.extent) || event.deltaY === 0 || event.ctrlKey) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? ROW_HEIGHT : event.deltaMode === 2 ? this.viewport : 1;
    this.scrollTo(this.top + event.deltaY * unit);
    this.draw();
  }

  private scrollTo(top: number): void {
    this.top = Math.max(0, Math.min(topMax(this.extent), top));
    const scrollTop = scrollTopOf(this.extent, this.top);
    if (Math.abs(scrollTop - this.scroller.scrollTop) >= 1) {
      this.scroller.scrollTop = scrollTop;
      this.ownScrollTop = this.scroller.scrollTop;
    }
  }

  private toEnd(): void {
    this.space.style.height = `${elementHeight(this.extent) + HEAD_HEIGHT}px`;
    this.scrollTo(topMax(this.extent));
  }

  private draw(): void {
    const { rows } = this;
    if (!rows) return;
    const { extent } = this;
    this.gutterWidth = 20 + 7.5 * Math.max(3, countText(extent.rows).length);
    const width = this.virtualizer.getTotalSize() + this.gutterWidth;
    this.space.style.height = `${elementHeight(extent) + HEAD_HEIGHT}px`;
    this.space.style.width = `${width}px`;
    this.scroller.setAttribute('aria-rowcount', String(extent.rows + 1));
    this.scroller.setAttribute('aria-colcount', String(rows.columns.length + 1));
    this.top = Math.max(0, Math.min(this.top, topMax(extent)));
    const columns = this.virtualizer.getVirtualItems();
    const first = columns[0]?.index ?? 0;
    const last = columns.at(-1)?.index ?? -1;
    const start = columns[0]?.start ?? 0;
    this.drawHead(first, last, start);
    const [from, to] = seen(extent, this.top);
    while (this.lines.length < to - from) this.lines.push(this.line());
    const [low, high, left, right] = this.selection();
    const now = Date.now();
    let active = '';
    for (const [at, line] of this.lines.entries()) {
      const shown = from + at;
      if (shown >= to) {
        line.element.hidden = true;
        line.row = -1;
        line.drawn = '';
        continue;
      }
      line.element.hidden = false;
      line.element.style.transform = `translateY(${shown * ROW_HEIGHT - this.top}px)`;
      line.element.style.width = `${width}px`;
      const row = this.order?.[shown] ?? shown;
      const mark = `${row} ${this.version} ${first} ${last} ${start} ${shown >= low && shown <= high ? `${left}-${right}` : ''} ${shown === this.focus[0] ? this.focus[1] : ''} ${this.gutterWidth}`;
      if (line.drawn !== mark) {
        line.drawn = mark;
        line.row = shown;
        line.element.setAttribute('aria-rowindex', String(shown + 2));
        line.element.dataset['row'] = String(shown);
        line.gutter.textContent = countText(shown + 1);
        line.gutter.style.width = `${this.gutterWidth}px`;
        line.gutter.classList.toggle('picked', shown >= low && shown <= high);
        this.drawCells(line, rows, row, shown, first, last, start, low <= shown && shown <= high, left, right, now);
      }
      if (this.visited && shown === this.focus[0]) active = `${this.id}-active`;
    }
    if (active) this.scroller.setAttribute('aria-activedescendant', active);
    else this.scroller.removeAttribute('aria-activedescendant');
  }

  private drawCells(
    line: Line, rows: Rows, row: number, shown: number, first: number, last: number, start: number,
    selected: boolean, left: number, right: number, now: number,
  ): void {
    const wanted = last - first + 1;
    while (line.cells.length < wanted) {
      const cell = element('div', 'cell');
      cell.setAttribute('role', 'gridcell');
      line.cells.push(cell);
      line.element.append(cell);
    }
    for (const [at, cell] of line.cells.entries()) {
      const column = first + at;
      const about = rows.columns[column];
      if (at >= wanted || !about) {
        cell.hidden = true;
        continue;
      }
      cell.hidden = false;
      const text = rows.text(row, column);
      const content = text === null ? 'null' : text.length > CELL_CHARS_MAX ? `${text.slice(0, CELL_CHARS_MAX)}…` : text;
      if (cell.textContent !== content) cell.textContent = content;
      const isPicked = selected && column >= left && column <= right;
      const isActive = this.visited && shown === this.focus[0] && column === this.focus[1];
      const name = `cell ${about.kind}${text === null ? ' none' : ''}${isPicked ? ' picked' : ''}${isActive ? ' active' : ''}`;
      if (cell.className !== name) cell.className = name;
      cell.style.width = `${this.widths[column] ?? 100}px`;
      cell.style.marginLeft = at === 0 ? `${start}px` : '';
      cell.setAttribute('aria-colindex', String(column + 2));
      if (isPicked) cell.setAttribute('aria-selected', 'true');
      else cell.removeAttribute('aria-selected');
      if (isActive) cell.id = `${this.id}-active`;
      else if (cell.id) cell.removeAttribute('id');
      this.light(cell, rows, row, column, now);
    }
  }

  /** Lights a cell that has just changed, and lets the light fade. */
  private light(cell: HTMLElement, rows: Rows, row: number, column: number, now: number): void {
    const at = 'changedAt' in rows ? (rows as Moving).changedAt(row, column) : 0;
    const mark = at > 0 && now - at < LIT_MS ? `${row}/${column}/${at}` : '';
    if ((cell.dataset['lit'] ?? '') === mark) return;
    cell.dataset['lit'] = mark;
    for (const running of cell.getAnimations()) running.cancel();
    if (mark === '' || this.still) return;
    const color = getComputedStyle(this.scroller).getPropertyValue('--lit');
    const animation = cell.animate([{ backgroundColor: color }, { backgroundColor: 'transparent' }], { duration: LIT_MS, easing: 'ease-out' });
    animation.currentTime = now - at;
  }

  private line(): Line {
    const row = element('div', 'line');
    row.setAttribute('role', 'row');
    const gutter = element('div', 'gutter');
    gutter.setAttribute('role', 'rowheader');
    gutter.setAttribute('aria-colindex', '1');
    row.append(gutter);
    this.layer.append(row);
    return { element: row, gutter, cells: [], row: -1, drawn: '' };
  }

  private drawHead(first: number, last: number, start: number): void {
    const { rows } = this;
    if (!rows) return;
    const mark = `${first} ${last} ${start} ${this.sort?.column ?? ''} ${this.sort?.descending ?? ''} ${this.gutterWidth} ${this.widths.join()}`;
    if (mark === this.headDrawn) return;
    this.headDrawn = mark;
    const corner = element('div', 'gutter');
    corner.setAttribute('role', 'columnheader');
    corner.setAttribute('aria-colindex', '1');
    corner.setAttribute('aria-label', 'row');
    corner.style.width = `${this.gutterWidth}px`;
    const heads: HTMLElement[] = [corner];
    for (let column = first; column <= last; column += 1) {
      const about = rows.columns[column];
      if (!about) continue;
      const head = element('div', `column ${about.kind}`);
      head.setAttribute('role', 'columnheader');
      head.setAttribute('aria-colindex', String(column + 2));
      const sort = this.sort?.column === column ? this.sort : null;
      head.setAttribute('aria-sort', sort ? (sort.descending ? 'descending' : 'ascending') : 'none');
      head.style.width = `${this.widths[column] ?? 100}px`;
      head.style.marginLeft = column === first ? `${start}px` : '';
      const name = element('button', 'name');
      name.tabIndex = -1;
      name.title = `${about.name}  ${about.type}${about.nullable ? '' : ' NOT NULL'}${about.key ? ', key' : ''}`;
      name.append(element('span', about.key ? 'label key' : 'label', about.name));
      if (sort) name.append(element('span', 'arrow', sort.descending ? '↓' : '↑'));
      name.addEventListener('click', () => {
        this.events.sort(column);
      });
      const more = element('button', 'more', '⋯');
      more.tabIndex = -1;
      more.title = `About ${about.name}`;
      more.setAttribute('aria-label', `About ${about.name}`);
      more.addEventListener('click', () => {
        this.events.stats(column, more);
      });
      const grip = element('div', 'grip');
      grip.addEventListener('pointerdown', (event) => {
        this.resize(event, column);
      });
      head.append(name, more, grip);
      heads.push(head);
    }
    this.head.replaceChildren(...heads);
  }

  private resize(event: PointerEvent, column: number): void {
    event.preventDefault();
    const grip = event.currentTarget as HTMLElement;
    const from = event.clientX;
    const width = this.widths[column] ?? 100;
    this.isFitted = true;
    const move = (moved: PointerEvent) => {
      this.widths[column] = Math.max(40, width + moved.clientX - from);
      this.version += 1;
      this.virtualizer.measure();
      this.draw();
    };
    const end = () => {
      removeEventListener('pointermove', move);
      removeEventListener('pointerup', end);
    };
    grip.setPointerCapture(event.pointerId);
    addEventListener('pointermove', move);
    addEventListener('pointerup', end);
  }

  private pointed(event: PointerEvent): void {
    const cell = (event.target as HTMLElement).closest<HTMLElement>('.cell, .gutter');
    const row = Number(cell?.parentElement?.dataset['row'] ?? Number.NaN);
    if (!cell || Number.isNaN(row) || event.button !== 0) return;
    const columns = this.rows?.columns.length ?? 0;
    if (cell.classList.contains('gutter')) {
      this.anchor = [event.shiftKey ? this.anchor[0] : row, 0];
      this.focus = [row, columns - 1];
    } else {
      this.focus = [row, Number(cell.getAttribute('aria-colindex')) - 2];
      if (!event.shiftKey) this.anchor = this.focus;
    }
    this.draw();
    const drag = (moved: PointerEvent) => {
      const over = document.elementFromPoint(moved.clientX, moved.clientY)?.closest<HTMLElement>('.cell');
      const under = Number(over?.parentElement?.dataset['row'] ?? Number.NaN);
      if (!over || Number.isNaN(under) || !this.host.contains(over)) return;
      this.focus = [under, Number(over.getAttribute('aria-colindex')) - 2];
      this.draw();
    };
    const end = () => {
      removeEventListener('pointermove', drag);
      removeEventListener('pointerup', end);
    };
    if (event.pointerType === 'mouse') {
      addEventListener('pointermove', drag);
      addEventListener('pointerup', end);
    }
  }

  private pressed(event: KeyboardEvent): void {
    const rows = this.rows?.count ?? 0;
    const columns = this.rows?.columns.length ?? 0;
    if (rows === 0 || columns === 0) return;
    const page = Math.max(1, Math.floor(this.viewport / ROW_HEIGHT) - 1);
    const far = event.ctrlKey || event.metaKey;
    let [row, column] = this.focus;
    switch (event.key) {
      case 'ArrowDown':
        row = far ? rows - 1 : row + 1;
        break;
      case 'ArrowUp':
        row = far ? 0 : row - 1;
        break;
      case 'ArrowRight':
        column = far ? columns - 1 : column + 1;
        break;
      case 'ArrowLeft':
        column = far ? 0 : column - 1;
        break;
      case 'PageDown':
        row += page;
        break;
      case 'PageUp':
        row -= page;
        break;
      case 'Home':
        column = 0;
        if (far) row = 0;
        break;
      case 'End':
        column = columns - 1;
        if (far) row = rows - 1;
        break;
      case 'Enter':
        event.preventDefault();
        this.open();
        return;
      case 's':
        if (far) return;
        this.events.sort(column);
        return;
      case 'a':
        if (!far) return;
        event.preventDefault();
        this.anchor = [0, 0];
        this.focus = [rows - 1, columns - 1];
        this.draw();
        return;
      default:
        return;
    }
    event.preventDefault();
    this.focus = [Math.max(0, Math.min(rows - 1, row)), Math.max(0, Math.min(columns - 1, column))];
    if (!event.shiftKey) this.anchor = this.focus;
    this.reveal();
    this.draw();
  }

  private reveal(): void {
    const [row, column] = this.focus;
    const at = row * ROW_HEIGHT;
    if (at < this.top) {
      this.following = false;
      this.scrollTo(at);
    } else if (at + ROW_HEIGHT > this.top + this.viewport) {
      this.scrollTo(at + ROW_HEIGHT - this.viewport);
    }
    const left = this.widths.slice(0, column).reduce((sum, width) => sum + width, 0);
    const right = left + (this.widths[column] ?? 0) + this.gutterWidth;
    if (left < this.scroller.scrollLeft) this.scroller.scrollLeft = left;
    else if (right > this.scroller.scrollLeft + this.scroller.clientWidth) {
      this.scroller.scrollLeft = right - this.scroller.clientWidth;
    }
  }

  private open(): void {
    const [row, column] = this.focus;
    if (row < (this.rows?.count ?? 0)) this.events.open(this.order?.[row] ?? row, column);
  }

  private selection(): [number, number, number, number] {
    if (!this.visited) return [-1, -1, -1, -1];
    const [a, b] = [this.anchor, this.focus];
    return [Math.min(a[0], b[0]), Math.max(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[1], b[1])];
  }

  private copy(event: ClipboardEvent): void {
    const { rows } = this;
    if (!rows || rows.count === 0) return;
    const [low, high, left, right] = this.selection();
    const columns = right - left + 1;
    const last = Math.min(high, rows.count - 1, low + Math.floor(COPIED_MAX / columns) - 1);
    const cells: (string | null)[][] = [];
    const isMany = columns > 1 && last > low;
    if (isMany) cells.push(rows.columns.slice(left, right + 1).map((column) => column.name));
    for (let shown = low; shown <= last; shown += 1) {
      const row = this.order?.[shown] ?? shown;
      cells.push(Array.from({ length: columns }, (_, at) => rows.text(row, left + at)));
    }
    const copied = `${countText(last - low + 1)} × ${columns}`;
    event.clipboardData?.setData('text/plain', tabbed(cells));
    this.events.copied(last < high ? `Copied the first ${copied} cells of the selection` : `Copied ${copied}`);
  }
}

function element<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, text?: string): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
