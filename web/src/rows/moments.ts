// Dates, times and intervals as text, to the nanosecond: a JavaScript Date has milliseconds and four digits of a year.

const DAY_S = 86_400n;
const NANOS = 1_000_000_000n;

/** The year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar (Howard Hinnant's algorithm). */
function civil(days: bigint): [bigint, bigint, bigint] {
  const shifted = days + 719_468n;
  const era = floorDiv(shifted, 146_097n);
  const ofEra = shifted - era * 146_097n;
  const yearOfEra = (ofEra - ofEra / 1460n + ofEra / 36_524n - ofEra / 146_096n) / 365n;
  const ofYear = ofEra - (365n * yearOfEra + yearOfEra / 4n - yearOfEra / 100n);
  const monthShifted = (5n * ofYear + 2n) / 153n;
  const day = ofYear - (153n * monthShifted + 2n) / 5n + 1n;
  const month = monthShifted < 10n ? monthShifted + 3n : monthShifted - 9n;
  return [yearOfEra + era * 400n + (month <= 2n ? 1n : 0n), month, day];
}

function floorDiv(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

function padded(value: bigint, width: number): string {
  return value.toString().padStart(width, '0');
}

/** `2024-02-29`; years beyond four digits carry a sign. */
export function dateText(days: bigint): string {
  const [year, month, day] = civil(days);
  const sign = year < 0n ? '-' : year > 9999n ? '+' : '';
  return `${sign}${padded(year < 0n ? -year : year, 4)}-${padded(month, 2)}-${padded(day, 2)}`;
}

function fraction(nanos: bigint): string {
  if (nanos === 0n) return '';
  if (nanos % 1_000_000n === 0n) return `.${padded(nanos / 1_000_000n, 3)}`;
  if (nanos % 1000n === 0n) return `.${padded(nanos / 1000n, 6)}`;
  return `.${padded(nanos, 9)}`;
}

/** `23:59:59.123`, with 0, 3, 6 or 9 digits after the point. */
export function timeText(nanosOfDay: bigint): string {
  const seconds = nanosOfDay / NANOS;
  const hours = padded(seconds / 3600n, 2);
  return `${hours}:${padded((seconds / 60n) % 60n, 2)}:${padded(seconds % 60n, 2)}${fraction(nanosOfDay % NANOS)}`;
}

/** `2024-02-29 23:59:59.123`, and the offset of its zone, if it has one. */
export function timestampText(nanos: bigint, zone: string | null): string {
  const seconds = floorDiv(nanos, NANOS);
  const offset = zone === null ? 0 : offsetSeconds(zone, Number(seconds) * 1000);
  const local = seconds + BigInt(offset);
  const days = floorDiv(local, DAY_S);
  const clock = timeText((local - days * DAY_S) * NANOS + (nanos - seconds * NANOS));
  return `${dateText(days)} ${clock}${zone === null ? '' : offsetText(offset)}`;
}

function offsetText(seconds: number): string {
  if (seconds === 0) return 'Z';
  const absolute = Math.abs(seconds);
  const pair = (value: number) => String(value).padStart(2, '0');
  return `${seconds < 0 ? '-' : '+'}${pair(Math.floor(absolute / 3600))}:${pair(Math.floor(absolute / 60) % 60)}`;
}

const zones = new Map<string, Intl.DateTimeFormat | null>();

function offsetSeconds(zone: string, at: number): number {
  const fixed = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  if (fixed) {
    const seconds = Number(fixed[2]) * 3600 + Number(fixed[3]) * 60;
    return fixed[1] === '-' ? -seconds : seconds;
  }
  let format = zones.get(zone);
  if (format === undefined) {
    try {
      format = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' });
    } catch {
      // A zone that the browser does not know is shown in UTC, and says so by its Z.
      format = null;
    }
    zones.set(zone, format);
  }
  if (!format || Math.abs(at) > 8.64e15) return 0;
  const name = format.formatToParts(at).find((part) => part.type === 'timeZoneName')?.value ?? '';
  const named = /GMT([+-])(\d\d):(\d\d)/.exec(name);
  if (!named) return 0;
  const seconds = Number(named[2]) * 3600 + Number(named[3]) * 60;
  return named[1] === '-' ? -seconds : seconds;
}

/** PostgreSQL's form: `1 year 2 mons -3 days +04:05:06.789`. */
export function intervalText(months: number, days: number, nanos: bigint): string {
  const parts: string[] = [];
  let afterNegative = false;
  const units: [number, string][] = [
    [Math.trunc(months / 12), 'year'],
    [months % 12, 'mon'],
    [days, 'day'],
  ];
  for (const [value, unit] of units) {
    if (value === 0) continue;
    parts.push(`${afterNegative && value > 0 ? '+' : ''}${value} ${unit}${value === 1 ? '' : 's'}`);
    afterNegative = value < 0;
  }
  if (nanos === 0n && parts.length > 0) return parts.join(' ');
  const absolute = nanos < 0n ? -nanos : nanos;
  const seconds = absolute / NANOS;
  const rest = absolute % NANOS;
  const tail = rest === 0n ? '' : `.${padded(rest, 9).replace(/0+$/, '')}`;
  const sign = nanos < 0n ? '-' : afterNegative ? '+' : '';
  parts.push(
    `${sign}${padded(seconds / 3600n, 2)}:${padded((seconds / 60n) % 60n, 2)}:${padded(seconds % 60n, 2)}${tail}`,
  );
  return parts.join(' ');
}
