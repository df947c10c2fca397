// What flows into what: streams and tables into views, and those into sinks.

export interface Dependency {
  schema: string;
  name: string;
  type: string;
  depends_on_schema: string;
  depends_on_name: string;
  depends_on_type: string;
}

export interface Node {
  readonly id: string;
  readonly schema: string;
  readonly name: string;
  readonly type: string;
}

export interface Lineage {
  readonly nodes: readonly Node[];
  /** From where rows come to where they go. */
  readonly flows: readonly { readonly from: string; readonly to: string }[];
}

const CONTINUOUS = /^(materialized view|sink)$/;

/**
 * The lineage of all continuous queries. A sink depends on where it writes to, as it does on what it reads.
 * @param targets where each sink writes to, by `schema.name` of the sink
 */
export function lineage(dependencies: readonly Dependency[], targets: ReadonlyMap<string, string>): Lineage {
  const nodes = new Map<string, Node>();
  const flows = new Map<string, { from: string; to: string }>();
  const node = (schema: string, name: string, type: string): string => {
    const id = `${schema}.${name}`;
    if (!nodes.has(id)) nodes.set(id, { id, schema, name, type });
    return id;
  };
  // Plain views are passed through: they have no rows of their own, but may stand between.
  const wanted = new Set(dependencies.filter((one) => CONTINUOUS.test(one.type)).map((one) => `${one.schema}.${one.name}`));
  for (let grew = true; grew; ) {
    grew = false;
    for (const one of dependencies) {
      const below = `${one.depends_on_schema}.${one.depends_on_name}`;
      if (wanted.has(`${one.schema}.${one.name}`) && !wanted.has(below)) {
        wanted.add(below);
        grew = true;
      }
    }
  }
  for (const one of dependencies) {
    if (!wanted.has(`${one.schema}.${one.name}`)) continue;
    const user = node(one.schema, one.name, one.type);
    const used = node(one.depends_on_schema, one.depends_on_name, one.depends_on_type);
    const target = targets.get(user);
    const writes = one.type === 'sink' && (target === used || (target === one.depends_on_name && one.depends_on_schema === 'public'));
    const flow = writes ? { from: user, to: used } : { from: used, to: user };
    flows.set(`${flow.from} ${flow.to}`, flow);
  }
  return { nodes: [...nodes.values()], flows: [...flows.values()] };
}
