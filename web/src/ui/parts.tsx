// The small parts that all pages are made of.

import { signal, useSignal } from '@preact/signals';
import type { ComponentChildren, ComponentType, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

import { Problem } from '../api/problem';

/** A short word about what was just done. */
const said = signal('');
let saidTimer = 0;

export function say(text: string): void {
  said.value = text;
  clearTimeout(saidTimer);
  saidTimer = window.setTimeout(() => {
    said.value = '';
  }, 2500);
}

export function Said() {
  return (
    <div class="said" role="status" aria-live="polite" data-shown={said.value !== ''}>
      {said.value}
    </div>
  );
}

/** What went wrong, where, and what to do. */
export function Failure({ problem }: { problem: Problem }) {
  const { position, hint, sqlstate, document } = problem;
  const where = [
    position ? `line ${position.line}, column ${position.column}` : '',
    document.row ? `row ${document.row}` : '',
    sqlstate,
  ].filter(Boolean);
  return (
    <div class="failure" role="alert">
      <p class="what">{problem.message}</p>
      {hint && <p class="hint">{hint}</p>}
      <p class="where">{where.join(' · ')}</p>
    </div>
  );
}

/** What a place without anything in it says: what would be here, and the next step. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** A button with a list of things to do. */
export function Menu({ label, title, children, kind = 'plain' }: { label: ComponentChildren; title: string; children: ComponentChildren; kind?: string }) {
  const list = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const isOpen = useSignal(false);
  const open = () => {
    const shown = list.current;
    const at = button.current?.getBoundingClientRect();
    if (!shown || !at) return;
    shown.togglePopover();
    if (!shown.matches(':popover-open')) return;
    const { width, height } = shown.getBoundingClientRect();
    shown.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    shown.style.top = `${at.bottom + height + 8 > innerHeight ? Math.max(8, at.top - height - 4) : at.bottom + 4}px`;
    shown.querySelector<HTMLElement>('button, a, input')?.focus();
  };
  const step = (event: KeyboardEvent) => {
    const items = [...(list.current?.querySelectorAll<HTMLElement>('button, a') ?? [])];
    const here = items.indexOf(document.activeElement as HTMLElement);
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (by === 0 || items.length === 0) return;
    event.preventDefault();
    items[(here + by + items.length) % items.length]?.focus();
  };
  return (
    <>
      <button ref={button} class={kind} title={title} aria-label={typeof label === 'string' && /\w/.test(label) ? undefined : title} aria-haspopup="true" aria-expanded={isOpen.value} onClick={open}>
        {label}
      </button>
      <div
        ref={list}
        class="menu"
        popover="auto"
        onToggle={(event) => {
          isOpen.value = (event as unknown as { newState: string }).newState === 'open';
        }}
        onKeyDown={step}
        onClick={(event) => {
          if ((event.target as HTMLElement).closest('button, a')) list.current?.hidePopover();
        }}
      >
        {children}
      </div>
    </>
  );
}

/** A window before the page. */
export function Dialog({ title, close, children, wide }: { title: string; close: () => void; children: ComponentChildren; wide?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide ? 'wide' : ''}
      aria-label={title}
      onClose={close}
      onClick={(event) => {
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
    >
      <header>
        <h2>{title}</h2>
        <button class="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </header>
      <div class="body">{children}</div>
    </dialog>
  );
}

/** A component that is loaded when it is first shown. */
export function Later<Props extends object>({ load, props }: { load: () => Promise<ComponentType<Props>>; props: Props }) {
  const component = useSignal<{ of: ComponentType<Props> } | null>(null);
  useEffect(() => {
    let isGone = false;
    void load().then((of) => {
      if (!isGone) component.value = { of };
    });
    return () => {
      isGone = true;
    };
  }, []);
  const Loaded = component.value?.of;
  return Loaded ? <Loaded {...props} /> : <div class="loading" role="status">…</div>;
}

/** A choice of a few, one of which holds. */
export function Choice<T extends string>({ label, of, value, set }: { label: string; of: readonly (readonly [T, string])[]; value: T; set: (value: T) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {of.map(([one, name]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => { set(one); }}>
          {name}
        </button>
      ))}
    </div>
  );
}

/** A bar that two parts of a page are divided by, moved by pointer or arrow keys. */
export function Divider({ label, value, set, min, max }: { label: string; value: number; set: (value: number) => void; min: number; max: () => number }) {
  const put = (to: number) => {
    set(Math.round(Math.max(min, Math.min(max(), to))));
  };
  return (
    <div
      class="divider"
      role="separator"
      tabIndex={0}
      aria-label={label}
      aria-orientation="horizontal"
      aria-valuenow={value}
      aria-valuemin={min}
      aria-valuemax={max()}
      onKeyDown={(event) => {
        if (event.key === 'ArrowUp') put(value - 24);
        else if (event.key === 'ArrowDown') put(value + 24);
        else return;
        event.preventDefault();
      }}
      onPointerDown={(event) => {
        const from = event.clientY;
        const move = (moved: PointerEvent) => {
          put(value + moved.clientY - from);
        };
        const end = () => {
          removeEventListener('pointermove', move);
          removeEventListener('pointerup', end);
        };
        event.preventDefault();
        addEventListener('pointermove', move);
        addEventListener('pointerup', end);
      }}
    />
  );
}

/** Calls `act` now and then while the page is seen; the next call waits for the one before. */
export function useEvery(ms: number, act: (signal: AbortSignal) => Promise<void>, inputs: readonly unknown[] = []): void {
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const turn = async () => {
      if (!document.hidden) await act(stop.signal);
      if (!stop.signal.aborted) timer = window.setTimeout(() => void turn(), ms);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, inputs);
}

/** A key as it is written on a keyboard. */
export function Key({ children }: { children: ComponentChildren }): JSX.Element {
  return <kbd>{children}</kbd>;
}
