import { render } from 'preact';

import { App } from './app';
import { listen } from './ui/Shortcuts';

const root = document.getElementById('app');
if (root) render(<App />, root);
listen();

// What most readers need next is fetched when there is nothing else to do.
const idle = window.requestIdleCallback ?? ((act: () => void) => setTimeout(act, 300));
idle(() => {
  void import('./api/answer');
});
