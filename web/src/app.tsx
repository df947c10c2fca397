import { computed, effect, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ComponentType } from 'preact';

import { signedIn, signInWanted, signOut } from './api/http';
import { Ask } from './ask/Ask';
import { readCatalog } from './catalog/catalog';
import { readDocuments } from './dash/documents';
import { kept } from './ui/kept';
import { PAGES, type PagePath } from './ui/pages';
import { Later, Menu, Said } from './ui/parts';
import { link, place } from './ui/router';
import { Shortcuts, shortcutsShown } from './ui/Shortcuts';
import { SignIn } from './ui/SignIn';

type Theme = 'system' | 'light' | 'dark';

const theme = kept<Theme>('theme', 'system', (value): value is Theme => value === 'system' || value === 'light' || value === 'dark');
effect(() => {
  if (theme.value === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme.value;
  dispatchEvent(new Event('weir-theme'));
});

const LOADS: Readonly<Record<Exclude<PagePath, 'ask'>, () => Promise<ComponentType>>> = {
  catalog: async () => (await import('./catalog/Catalog')).default,
  jobs: async () => (await import('./jobs/Jobs')).default,
  dashboards: async () => (await import('./dash/Dashboards')).default,
  load: async () => (await import('./load/Load')).default,
  tour: async () => (await import('./start/Tour')).default,
};

const here = computed(() => PAGES.find((page) => page.path === place.value.path[0]) ?? PAGES[0]);

/** Whether the server answers. */
const reachable = signal(true);
const REACH_MS = 5_000;

async function reach(): Promise<void> {
  if (document.hidden) return;
  try {
    reachable.value = (await fetch('readyz')).ok;
  } catch {
    reachable.value = false;
  }
}

export function App() {
  useEffect(() => {
    void readCatalog();
    void readDocuments();
    const timer = setInterval(() => void reach(), REACH_MS);
    // Who comes back to the page may have made something elsewhere.
    const again = () => void readCatalog();
    addEventListener('focus', again);
    return () => {
      removeEventListener('focus', again);
      clearInterval(timer);
    };
  }, []);
  useEffect(() => {
    document.title = here.value.path === 'ask' ? 'Weir' : `${place.value.path.at(-1) ?? here.value.name} · Weir`;
  }, [place.value]);
  const page = here.value;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the content</a>
      <header class="top">
        <a class="brand" href={link('ask')} aria-label="Weir">
          <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
            <path d="M2 7c3-3 5-3 8 0s5 3 8 0l4-2M2 13c3-3 5-3 8 0s5 3 8 0l4-2M2 19c3-3 5-3 8 0s5 3 8 0l4-2" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
          </svg>
          <b>weir</b>
        </a>
        <nav aria-label="Pages">
          {PAGES.map(({ path, name }) => (
            <a key={path} href={link(path)} aria-current={path === page.path ? 'page' : undefined}>{name}</a>
          ))}
        </nav>
        <span class="gap" />
        {!reachable.value && <span class="unreachable" role="status"><span class="dot failed" aria-hidden="true" />no answer from the server</span>}
        <Menu label="◐" title="Look" kind="quiet">
          {(['system', 'light', 'dark'] as const).map((one) => (
            <button key={one} aria-pressed={theme.value === one} onClick={() => (theme.value = one)}>
              {one === 'system' ? 'As the system' : one === 'light' ? 'Light' : 'Dark'}
            </button>
          ))}
        </Menu>
        <button class="quiet" title="Keys (?)" aria-label="Keys" onClick={() => (shortcutsShown.value = true)}>?</button>
        {signedIn() && <button class="quiet" onClick={signOut}>Sign out</button>}
      </header>
      <main id="main" tabIndex={-1}>
        {page.path === 'ask' ? <Ask /> : <Later load={LOADS[page.path]} props={{}} key={page.path} />}
      </main>
      <Said />
      {shortcutsShown.value && <Shortcuts />}
      {signInWanted.value && <SignIn />}
    </>
  );
}
