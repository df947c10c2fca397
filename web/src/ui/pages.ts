// The pages, in the order in which they are listed. `index.html` lists them too, for the moment before scripts run.

export interface Page {
  readonly path: string;
  readonly name: string;
}

export const PAGES = [
  { path: 'ask', name: 'Ask' },
  { path: 'catalog', name: 'Catalog' },
  { path: 'jobs', name: 'Jobs' },
  { path: 'dashboards', name: 'Dashboards' },
  { path: 'load', name: 'Load' },
  { path: 'tour', name: 'Tour' },
] as const satisfies readonly Page[];

export type PagePath = (typeof PAGES)[number]['path'];
