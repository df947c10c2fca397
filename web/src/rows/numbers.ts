// Numbers as text, exactly.

/** The decimal `unscaled` × 10^-`scale`. */
export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : '';
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString();
  if (scale <= 0) return digits === '0' ? '0' : sign + digits + '0'.repeat(-scale);
  const whole = digits.length > scale ? digits.slice(0, -scale) : '0';
  return `${sign}${whole}.${digits.padStart(scale, '0').slice(-scale)}`;
}

/** Little-endian words of a number in two's complement. */
export function wideInteger(words: Uint32Array, start: number, length: number): bigint {
  let value = 0n;
  for (let at = start + length - 1; at >= start; at -= 1) value = (value << 32n) | BigInt(words[at] ?? 0);
  return BigInt.asIntN(length * 32, value);
}

export function doubleText(value: number): string {
  return String(value);
}

/** The shortest text that reads back as the same single. */
export function singleText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  for (let digits = 6; digits < 9; digits += 1) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return String(shorter);
  }
  return String(Number(value.toPrecision(9)));
}

const grouped = new Intl.NumberFormat('en');

/** `1,234,567`. */
export function countText(value: number): string {
  return grouped.format(value);
}

/** `1.2 MB`, in powers of 1024 as the server's settings are. */
export function bytesText(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${rest >= 100 || unit === 0 ? Math.round(rest) : rest.toFixed(1)} ${units[unit] ?? ''}`;
}

/** `12 ms`, `3.4 s`, `5 min 6 s`, `2 h 3 min`. */
export function spanText(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}
