import { useSignal } from '@preact/signals';

import type { Rows } from '../rows/column';
import { spanText } from '../rows/numbers';
import type { Arrow, Box, GraphProps } from '../ui/graph';
import { Choice, Later } from '../ui/parts';
import { each, metricMs, operators, type Operator, type Plan } from './plan';

/** The plans in an answer of EXPLAIN; none when it is another answer. */
export function plansIn(rows: Rows): Plan[] {
  const names = rows.columns.map((column) => column.name);
  if (names.length !== 2 || names[0] !== 'plan_type' || names[1] !== 'plan') return [];
  return Array.from({ length: rows.count }, (_, row) => {
    const text = rows.text(row, 1) ?? '';
    return { kind: rows.text(row, 0) ?? '', text, roots: /[┌│]|^\s*[[{]|^\s*digraph/.test(text) ? [] : operators(text) };
  });
}

const WIDTH = 250;

/** A plan as a graph of operators, with rows and time where they were measured, or as its text. */
export default function PlanView({ plans }: { plans: readonly Plan[] }) {
  const best = plans.findLastIndex((plan) => plan.roots.length > 0);
  const shown = useSignal(best < 0 ? 0 : best);
  const form = useSignal<'graph' | 'text'>(best < 0 ? 'text' : 'graph');
  const plan = plans[shown.value];
  if (!plan) return null;
  return (
    <div class="plan">
      <div class="bar">
        <Choice label="Form of the plan" of={[['graph', 'Graph'], ['text', 'Text']] as const} value={form.value} set={(value) => (form.value = value)} />
        {plans.length > 1 && (
          <select aria-label="Plan" value={shown.value} onChange={(event) => (shown.value = Number(event.currentTarget.value))}>
            {plans.map((one, at) => <option key={at} value={at}>{one.kind.replaceAll('_', ' ')}</option>)}
          </select>
        )}
      </div>
      {form.value === 'text' || plan.roots.length === 0 ? (
        <pre class="plan-text" tabIndex={0}>{plan.text}</pre>
      ) : (
        <Later load={async () => (await import('../ui/graph')).default} props={graphOf(plan)} key={shown.value} />
      )}
    </div>
  );
}

function graphOf(plan: Plan): GraphProps {
  const all = [...each(plan.roots)];
  const slowest = Math.max(0, ...all.map((operator) => metricMs(operator.metrics.get('elapsed_compute'))));
  const ids = new Map(all.map((operator, at) => [operator, `o${at}`]));
  const boxes: Box[] = all.map((operator) => ({
    id: ids.get(operator) ?? '',
    width: WIDTH,
    height: operator.metrics.size > 0 || operator.follows !== null ? 78 : 56,
    content: <OperatorBox operator={operator} slowest={slowest} />,
  }));
  const arrows: Arrow[] = all.flatMap((operator) =>
    operator.inputs.map((input) => ({
      from: ids.get(input) ?? '',
      to: ids.get(operator) ?? '',
      ...(input.metrics.has('output_rows') ? { label: `${input.metrics.get('output_rows') ?? ''} rows` } : {}),
    })),
  );
  return { boxes, arrows, direction: 'BT', label: 'Plan: rows flow upwards' };
}

function OperatorBox({ operator, slowest }: { operator: Operator; slowest: number }) {
  const ms = metricMs(operator.metrics.get('elapsed_compute'));
  const share = slowest > 0 ? ms / slowest : 0;
  const spilled = operator.metrics.get('spill_count');
  const more = [...operator.metrics].map(([name, value]) => `${name}: ${value}`).join('\n');
  return (
    <div class="operator" title={`${operator.name}: ${operator.detail}\n${more}`}>
      <strong>{operator.name.replace(/Exec$/, '')}</strong>
      <span class="detail">{operator.detail}</span>
      {operator.follows !== null && <span class="measure">{operator.follows}</span>}
      {operator.metrics.size > 0 && (
        <span class="measure">
          <meter min={0} max={1} value={share} aria-label="share of the slowest operator's time">{Math.round(share * 100)} %</meter>
          {spanText(ms)}
          {spilled !== undefined && spilled !== '0' ? ' · spilled' : ''}
        </span>
      )}
    </div>
  );
}
