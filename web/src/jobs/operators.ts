// The operators of a continuous query, as `weir.operators` tells them.

export interface Operator {
  readonly number: number;
  /** The operator that takes its rows; none takes those of the first. */
  readonly into_number: number | null;
  readonly operator: string;
  readonly detail: string;
  readonly follows: string;
  readonly steps: number;
  readonly rows: number;
  readonly total_us: number;
  readonly step_us: number;
  readonly state_rows: number;
  readonly state_bytes: number;
}

export const operatorsOf = 'SELECT * FROM weir.operators WHERE schema = $1 AND name = $2 ORDER BY number';

/** The part that each operator has in the time of all, from 0 to 1, by its number. */
export function shares(operators: readonly Operator[]): ReadonlyMap<number, number> {
  const whole = operators.reduce((sum, one) => sum + one.total_us, 0);
  return new Map(operators.map((one) => [one.number, whole > 0 ? one.total_us / whole : 0]));
}
