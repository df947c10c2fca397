import { useSignal } from '@preact/signals';

import { ask } from '../api/http';
import { bytesText, countText, spanText } from '../rows/numbers';
import type { GraphProps } from '../ui/graph';
import { Later, useEvery } from '../ui/parts';
import { operatorsOf, shares, type Operator } from './operators';

const EVERY_MS = 2_000;

/** The operators of a view or sink: how each follows changes, what it gave, and its part in the time of a step. */
export function Operators({ schema, name }: { schema: string; name: string }) {
  const operators = useSignal<readonly Operator[]>([]);
  useEvery(
    EVERY_MS,
    async (signal) => {
      try {
        operators.value = await ask<Operator>(operatorsOf, [schema, name], signal);
      } catch {
        // The rest of the page says what is wrong, if the server does not answer; what was told last stays.
      }
    },
    [schema, name],
  );
  // Who may read a view need not own it, and sees the page without its operators.
  if (operators.value.length === 0) return null;
  const steps = operators.value[0]?.steps ?? 0;
  return (
    <section>
      <h2>Operators <small>{steps === 0 ? 'no step yet' : `${countText(steps)} steps`}</small></h2>
      <div class="box">
        <Later load={async () => (await import('../ui/graph')).default} props={graphOf(operators.value)} />
      </div>
    </section>
  );
}

function graphOf(operators: readonly Operator[]): GraphProps {
  const parts = shares(operators);
  return {
    direction: 'BT',
    label: 'Operators: rows flow upwards',
    boxes: operators.map((one) => ({ id: String(one.number), width: 250, height: 94, content: <Box operator={one} share={parts.get(one.number) ?? 0} /> })),
    arrows: operators.flatMap((one) => (one.into_number === null ? [] : [{ from: String(one.number), to: String(one.into_number), label: `${countText(one.rows)} rows` }])),
  };
}

function Box({ operator, share }: { operator: Operator; share: number }) {
  const percent = `${Math.round(share * 100)} %`;
  return (
    <div class="operator" title={`${operator.operator}: ${operator.detail}\n${spanText(operator.total_us / 1000)} in ${countText(operator.steps)} steps`}>
      <strong>{operator.operator}</strong>
      <span class="detail">{operator.detail}</span>
      <span class="measure">
        {operator.follows}
        {operator.state_rows > 0 ? ` · ${countText(operator.state_rows)} rows, ${bytesText(operator.state_bytes)}` : ''}
      </span>
      <span class="measure">
        <meter min={0} max={1} value={share} aria-label="part of the time of all operators">{percent}</meter>
        {spanText(operator.step_us / 1000)} a step · {percent}
      </span>
    </div>
  );
}
